//! Receives signals on the tokio runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{self, SignalKind};

use crate::{EarlySignals, Error, Signal};

/// Receives the shutdown signals, beginning with those that came before the runtime existed.
///
/// The handlers stay for the life of the process: the default actions are gone.
#[derive(Debug)]
pub(crate) struct SignalListener {
    arrived: VecDeque<Signal>,
    streams: Vec<(Signal, unix::Signal)>,
}

impl SignalListener {
    pub(crate) fn take_over(early: &EarlySignals) -> Result<Self, Error> {
        let stream = |signal: Signal| {
            let stream = unix::signal(SignalKind::from_raw(signal.number()));
            stream.map(|stream| (signal, stream)).map_err(|source| Error::Signal { signal: signal.as_str(), source })
        };
        let streams = early.signals().map(stream).collect::<Result<_, _>>()?;
        // Read after the streams exist: a signal in between is seen twice, which is one request.
        Ok(Self { arrived: early.arrived().collect(), streams })
    }

    /// The next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        if let Some(signal) = self.arrived.pop_front() {
            return signal;
        }
        poll_fn(|context| {
            for (signal, stream) in &mut self.streams {
                // A stream ends only with its runtime, and with it this task.
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}
