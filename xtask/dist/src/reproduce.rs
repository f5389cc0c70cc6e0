//! Checks that the build is reproducible: makes everything once more, from a clone in another folder.

use crate::artefacts::SUMS;
use crate::checkout::{Checkout, cargo, git, run};
use crate::progress;
use crate::target::Target;
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Makes the artefacts in a clone that has nothing but the commit, and compares their digests with those in `out`.
pub(crate) fn check(checkout: &Checkout, targets: &[Target], out: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("chatbox-dist-").tempdir()?;
    let clone = folder.path().join("a-clone-in-another-folder");
    run(git().args(["clone", "--quiet", "--shared", "."]).arg(&clone))?;
    run(git().args(["checkout", "--quiet", "--detach", &checkout.commit]).current_dir(&clone))?;
    let mut again = cargo();
    again.current_dir(&clone).env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET_DIR");
    again.args(["run", "--quiet", "--locked", "--package", "chatbox-dist", "--", "--quick"]);
    for target in targets {
        again.args(["--target", target.as_str()]);
    }
    progress::during("making everything once more in another folder", || run(&mut again))?;

    let (here, there) = (fs::read_to_string(out.join(SUMS))?, fs::read_to_string(clone.join("dist").join(SUMS))?);
    let differing = differences(&here, &there);
    if !differing.is_empty() {
        // The cause can only be found in both.
        let _ = folder.keep();
        bail!("not the same in another folder, {}: {}", clone.display(), differing.join(", "));
    }
    println!("the same {} files in {} and in {}", here.lines().count(), out.display(), clone.display());
    Ok(())
}

/// The names of what is not in both lists of digests with the same digest.
fn differences(here: &str, there: &str) -> Vec<String> {
    let (here, there): (BTreeSet<&str>, BTreeSet<&str>) = (here.lines().collect(), there.lines().collect());
    let names: BTreeSet<&str> =
        here.symmetric_difference(&there).filter_map(|line| line.split_whitespace().nth(1)).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::differences;

    #[test]
    fn files_that_differ_or_are_missing_are_named() {
        let here = "aa  a.tar.gz\nbb  b.debug\ncc  c.json\n";
        assert_eq!(differences(here, here), [""; 0]);
        assert_eq!(differences(here, "aa  a.tar.gz\nbx  b.debug\n"), ["b.debug", "c.json"]);
    }
}
