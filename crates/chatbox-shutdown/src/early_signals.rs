//! Signal handlers that are installed before the tokio runtime exists.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::{SigId, flag, low_level};

use crate::{Error, Signal};

/// Handlers for all shutdown signals, installed before anything else is done.
///
/// From [`register`](Self::register) on, a signal no longer ends the process. It is remembered, and
/// [`Shutdown::on_early_signals`](crate::Shutdown::on_early_signals) takes it as a request. This
/// matters most for a container's first process: the kernel discards signals for PID 1 that have no
/// handler, so a stop that came while the program reads its configuration would be lost.
///
/// ```
/// use chatbox_shutdown::{EarlySignals, Plan, Shutdown};
///
/// fn main() -> Result<(), chatbox_shutdown::BoxError> {
///     let signals = EarlySignals::register()?; // the first statement of main
///     let plan = Plan::default(); // … read the configuration
///     let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
///     runtime.block_on(async {
///         let shutdown = Shutdown::on_early_signals(plan, signals)?;
///         // … register participants, run
///         # drop(shutdown);
///         Ok(())
///     })
/// }
/// ```
///
/// A SIGHUP that the process ignores when it is started stays ignored, so that `nohup` works (detected on Linux only).
///
/// If the value is dropped without having been used, the signals are ignored until another handler is
/// installed; [`restore_default`](Self::restore_default) lets them end the process again.
#[derive(Debug)]
#[must_use = "the signals are ignored once this value is dropped"]
pub struct EarlySignals {
    handlers: Vec<Handler>,
}

#[derive(Debug)]
struct Handler {
    signal: Signal,
    arrived: Arc<AtomicBool>,
    /// When true, the signal's default action is taken.
    default: Arc<AtomicBool>,
    ids: [SigId; 2],
}

impl EarlySignals {
    /// Installs handlers for [every signal](Signal::ALL) that requests a shutdown.
    ///
    /// # Errors
    ///
    /// [`Error::Signal`] if the operating system refuses.
    pub fn register() -> Result<Self, Error> {
        let mut signals = Self { handlers: Vec::new() };
        for signal in Signal::ALL {
            if signal != Signal::Hangup || !is_ignored(signal) {
                signals.handlers.push(Handler::register(signal)?);
            }
        }
        Ok(signals)
    }

    /// Leaves one signal to other code of the program, for instance SIGHUP to a reload of files.
    ///
    /// The signal does not request a shutdown, and one that came before is discarded. Until other code
    /// installs a handler, it is ignored.
    pub fn without(mut self, signal: Signal) -> Self {
        self.handlers.retain(|handler| handler.signal != signal);
        self
    }

    /// Restores the default action: the signals end the process again, and if one has come, it does so now.
    ///
    /// For a program that has found out that it does not serve. Handlers that other code installs later
    /// do not prevent the default action any more.
    pub fn restore_default(mut self) {
        for handler in std::mem::take(&mut self.handlers) {
            handler.restore_default();
        }
    }

    pub(crate) fn signals(&self) -> impl Iterator<Item = Signal> {
        self.handlers.iter().map(|handler| handler.signal)
    }

    /// The signals that have come. The handlers are removed when the value is dropped.
    pub(crate) fn arrived(&self) -> impl Iterator<Item = Signal> {
        self.handlers.iter().filter(|handler| handler.arrived.load(Ordering::SeqCst)).map(|handler| handler.signal)
    }
}

impl Handler {
    fn register(signal: Signal) -> Result<Self, Error> {
        let failed = |source| Error::Signal { signal: signal.as_str(), source };
        let (arrived, default) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let number = signal.number();
        // In this order: the default action, if enabled, comes first.
        let conditional = flag::register_conditional_default(number, Arc::clone(&default)).map_err(failed)?;
        let remember = flag::register(number, Arc::clone(&arrived)).map_err(failed)?;
        Ok(Self { signal, arrived, default, ids: [conditional, remember] })
    }

    fn restore_default(self) {
        self.default.store(true, Ordering::SeqCst);
        if self.arrived.load(Ordering::SeqCst) {
            // It fails for signals that have no default action; these have one.
            let _ = low_level::emulate_default_handler(self.signal.number());
        }
        // The handlers stay for the life of the process.
        std::mem::forget(self);
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        for id in self.ids {
            low_level::unregister(id);
        }
    }
}

/// Whether the process was started with this signal ignored.
#[cfg(target_os = "linux")]
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal.number() - 1)) != 0
}

#[cfg(not(target_os = "linux"))]
fn is_ignored(_signal: Signal) -> bool {
    false
}
