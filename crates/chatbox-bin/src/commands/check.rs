//! `chatbox check`: would it run?

use super::{Failure, store_fault};
use crate::auth::AnonymousPolicy;
use crate::config::Loaded;
use crate::error::chain;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks everything that can be checked without listening; prints what would run.
pub(super) fn run(loaded: &Loaded) -> Result<ExitCode, Failure> {
    let checked = loaded.check()?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    let reached = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, async {
            let store = chatbox_store::open(&checked.store_url.reveal().parse()?).await?;
            store.ping().await?;
            store.close().await
        })
        .await
    });
    match reached {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Failure::bad_usage(store_fault(loaded, &chain(&error)))),
        Err(_) => return Err(Failure::bad_usage(store_fault(loaded, &format!("no answer within {PATIENCE:?}")))),
    }
    let config = &checked.config;
    println!("configuration: ok");
    println!("store: {} reached", checked.store_url);
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
