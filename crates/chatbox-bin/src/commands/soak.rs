//! `chatbox soak`: a fleet of clients against a running service, which is deployed, killed or restarted meanwhile. It checks
//! from outside what the service promises: what was acknowledged is stored once, and every client sees every message once, in order.

mod fleet;
mod ledger;
mod stubborn;
mod verdict;

use super::Failure;
use super::connect::with_prefix;
use crate::auth::TokenSigner;
use crate::cli::Soak;
use crate::config::Loaded;
use fleet::Fleet;
use http::Uri;
use std::process::ExitCode;
use std::time::Duration;

/// How long the service may take, after the last message was sent, until everything is acknowledged and delivered.
const SETTLE: Duration = Duration::from_secs(60);

/// What every part of a soak refers to.
struct Plan {
    options: Soak,
    urls: Vec<String>,
    /// Distinguishes the rooms and users of this run from those of others.
    run: String,
    /// Signs the clients' tokens, where the service asks for some.
    mint: Option<TokenSigner>,
}

impl Plan {
    fn room(&self, index: usize) -> String {
        format!("soak-{}-{index}", self.run)
    }

    fn user(&self, index: usize) -> String {
        format!("soak-{}-{index}", self.run)
    }

    fn token(&self, user: &str) -> Option<String> {
        const VALID: Duration = Duration::from_secs(24 * 3600);
        self.mint.as_ref().and_then(|mint| mint.token(user, VALID, None).ok())
    }

    /// Where the stored messages of a room can be read, on each server.
    fn history(&self, room: &str, after: u64, limit: usize) -> Vec<Result<Uri, http::uri::InvalidUri>> {
        let user = self.user(0);
        let path = format!("/rooms/{room}/messages?after={after}&limit={limit}&user={user}");
        let base = |url: &String| url.replacen("ws://", "http://", 1).trim_end_matches("/ws").to_owned();
        self.urls.iter().map(|url| format!("{}{path}", base(url)).parse()).collect()
    }
}

/// Runs the fleet, and says what it found. Exit code 1 on a violation.
pub(super) fn run(loaded: &Loaded, options: &Soak) -> Result<ExitCode, Failure> {
    if !(options.rate > 0.0 && options.rate.is_finite()) {
        return Err(Failure::bad_usage(format!("--rate: `{}` must be more than 0", options.rate)));
    }
    let mint = loaded.check()?.token_signer;
    let urls = options.url.iter().map(|url| with_prefix(url, &loaded.config.path_prefix)).collect();
    let run = format!("{:x}", jiffies() % 0xffff_ffff);
    let plan = Plan { options: options.clone(), urls, run, mint };
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    let verdict = runtime.block_on(async {
        let _stubborn = stubborn::open(&plan)
            .await
            .map_err(|error| Failure::at_run_time(format!("a stubborn connection cannot be opened: {error:#}")))?;
        let fleet = Fleet::launch(plan).map_err(|error| Failure::bad_usage(format!("--url: {error}")))?;
        Ok::<_, Failure>(fleet.run(SETTLE).await)
    })?;
    if options.json {
        println!("{}", verdict.to_json())
    } else {
        print!("{}", verdict.to_text())
    }
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A number that differs between runs.
fn jiffies() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_micros() ^ (u128::from(std::process::id()) << 12)
}
