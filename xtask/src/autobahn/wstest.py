"""Runs the Autobahn test suite out of the folder that is named first, with the arguments that follow."""

import site
import sys

folder = sys.argv.pop(1)
sys.path.insert(0, folder)
# Some packages are put together by .pth files, which only folders of this kind are searched for.
site.addsitedir(folder)

from autobahntestsuite.wstest import run

run()
