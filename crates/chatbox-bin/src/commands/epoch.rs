//! `chatbox epoch`: shows the epoch of the log, or renews it after a backup was restored.

use super::{Failure, run_to_end, store_fault};
use crate::config::Loaded;
use crate::error::chain;
use chatbox_store::{Inspection, StoreUrl, inspect, renew_epoch};
use std::process::ExitCode;
use std::sync::Arc;

/// Prints the epoch, after renewing it if `new` is set.
pub(super) fn run(loaded: &Loaded, new: bool) -> Result<ExitCode, Failure> {
    let url = loaded.check()?.store_url;
    let fault = |text: &str| Failure::at_run_time(store_fault(loaded, text));
    let epoch = if new {
        run_to_end(renew_epoch(&url))?.map_err(|error| fault(&chain(&error)))?
    } else {
        let found = run_to_end(inspect(&url))?.map_err(|error| fault(&chain(&error)))?;
        shown(&found, &url).map_err(|text| fault(&text))?
    };
    println!("{epoch}");
    Ok(ExitCode::SUCCESS)
}

fn shown(found: &Inspection, url: &StoreUrl) -> Result<Arc<str>, String> {
    match (found.epoch(), found) {
        (Some(epoch), _) => Ok(Arc::clone(epoch)),
        (None, Inspection::Absent) => Err(format!("there is no chatbox log at {url}")),
        (None, _) => Err(format!("{url} shows its epoch once chatbox has started with it")),
    }
}
