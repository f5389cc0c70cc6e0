//! `chatbox check`: validates the configuration and looks at the store. Creates, changes and locks nothing.

use super::{Failure, run_to_end, store_fault};
use crate::auth::AnonymousPolicy;
use crate::config::Loaded;
use crate::error::chain;
use chatbox_store::Inspection;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks what can be checked without listening, and prints what would run.
pub(super) fn run(loaded: &Loaded) -> Result<ExitCode, Failure> {
    let checked = loaded.check()?;
    let found = run_to_end(async { timeout(PATIENCE, chatbox_store::inspect(&checked.store_url)).await })?;
    let store = match found {
        Ok(Ok(Inspection::Absent)) if checked.store_url.scheme() != "memory" => ", would be created",
        Ok(Ok(Inspection::InUse { .. })) => ", in use by a running process",
        Ok(Ok(_)) => "",
        Ok(Err(error)) => return Err(Failure::bad_usage(store_fault(loaded, &chain(&error)))),
        Err(_) => return Err(Failure::bad_usage(store_fault(loaded, &format!("no answer within {PATIENCE:?}")))),
    };
    let config = &checked.config;
    println!("configuration: ok");
    println!("store: {} reached{store}", checked.store_url);
    println!("would listen on: http://{}{}/", config.listen, config.path_prefix);
    if let Some(ops) = config.ops_listen {
        println!("operations: http://{ops}/metrics");
    }
    let identity = match (&checked.keys, checked.anonymous) {
        (Some(_), AnonymousPolicy::Never) => "a token",
        (Some(_), _) => "a token, or any name without one",
        (None, AnonymousPolicy::Always) => "any name (?user=NAME), because auth.anonymous is always",
        (None, _) => "any name (?user=NAME), from this machine only",
    };
    println!("accepts: {identity}");
    if let Some(warning) = checked.anonymity_warning() {
        println!("warning: {warning}");
    }
    let shutdown = &config.shutdown;
    let total = shutdown.lame_duck + shutdown.drain + shutdown.flush;
    println!("shuts down: within {total:?} of {:?} grace", shutdown.grace);
    Ok(ExitCode::SUCCESS)
}
