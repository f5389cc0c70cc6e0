//! The close handshake, fed with events.

use super::*;
use chatbox_core::Outcome;
use proptest::prelude::*;

const DEADLINE: Tick = 30;

/// Both Closes exchanged, the server's first.
fn exchanged() -> CloseHandshake {
    let mut handshake = CloseHandshake::new();
    assert!(handshake.close(CloseCode::GOING_AWAY, ClosedBy::Server));
    assert_eq!(handshake.on_written(0, DEADLINE), Step::Again);
    assert_eq!(handshake.on_peer_close(Some(CloseCode::GOING_AWAY)), CloseCode::GOING_AWAY);
    assert!(!handshake.close(CloseCode::GOING_AWAY, ClosedBy::Client));
    handshake
}

#[test]
fn a_command_settles_what_is_owed_before_the_close() {
    let mut handshake = CloseHandshake::new();
    handshake.settle();
    assert!(!handshake.is_open() && !handshake.is_sealed());
    assert_eq!(handshake.on_written(2, DEADLINE), Step::AwaitReplies);
    assert_eq!(handshake.on_written(0, DEADLINE), Step::QueueClose);
    assert!(handshake.close(CloseCode::GOING_AWAY, ClosedBy::Server));
    assert!(handshake.is_sealed());
    assert_eq!(handshake.deadline(), None, "the peer's time begins when the Close is written");
    assert_eq!(handshake.on_written(0, DEADLINE), Step::Again);
    assert_eq!(handshake.deadline(), Some(DEADLINE));
    assert_eq!(handshake.on_written(0, DEADLINE + 1), Step::Wait);
    assert_eq!(handshake.deadline(), Some(DEADLINE), "writing again does not extend it");
}

#[test]
fn an_echo_finishes_the_handshake() {
    let mut handshake = exchanged();
    assert_eq!(handshake.on_written(0, DEADLINE), Step::Finish);
    assert_eq!(handshake.finished(), CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[test]
fn a_peers_close_is_answered_with_its_code_or_1000() {
    for (code, answer) in [(Some(CloseCode::new(4000)), CloseCode::new(4000)), (None, CloseCode::NORMAL)] {
        let mut handshake = CloseHandshake::new();
        assert_eq!(handshake.on_peer_close(code), answer);
        assert!(handshake.close(answer, ClosedBy::Client));
        // Both Closes are exchanged as soon as ours is written.
        assert_eq!(handshake.on_written(0, DEADLINE), Step::Finish);
        assert_eq!(handshake.finished(), CloseSummary::closed(answer, ClosedBy::Client));
    }
}

#[test]
fn input_behind_a_close_or_a_violation_is_discarded() {
    let mut handshake = exchanged();
    assert!(!handshake.accepts_input());
    assert_eq!(handshake.read_state(), ReadState::Discarding);
    let mut handshake = CloseHandshake::new();
    assert!(handshake.accepts_input());
    handshake.on_violation();
    assert!(!handshake.accepts_input());
}

#[test]
fn a_violation_lingers_until_the_peer_shuts_its_side() {
    let mut handshake = CloseHandshake::new();
    handshake.on_violation();
    assert!(handshake.close(CloseCode::PROTOCOL, ClosedBy::Server));
    assert_eq!(handshake.on_written(0, DEADLINE), Step::Finish);
    handshake.linger(DEADLINE);
    assert_eq!(handshake.on_written(0, DEADLINE), Step::Shut);
    handshake.on_shut();
    assert_eq!(handshake.on_written(0, DEADLINE), Step::Wait);
    assert_eq!(handshake.on_eof(), Err(CloseSummary::closed(CloseCode::PROTOCOL, ClosedBy::Server)));
    assert_eq!(
        handshake.on_deadline(),
        CloseSummary::timed_out(CloseCode::PROTOCOL, CloseError::CloseTimeout),
        "without a Close of the peer"
    );
}

#[test]
fn a_stream_that_breaks_after_both_closes_is_closed_cleanly() {
    let mut handshake = exchanged();
    let closed = CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server);
    assert_eq!(handshake.on_error(CloseError::Reset), closed);
    handshake.linger(DEADLINE);
    assert_eq!(handshake.on_error(CloseError::Reset), closed);
    assert_eq!(handshake.on_deadline(), closed);
}

#[test]
fn a_peer_that_does_not_wait_for_the_answer_to_its_close_has_closed_with_an_error() {
    let mut handshake = CloseHandshake::new();
    let code = handshake.on_peer_close(None);
    assert!(handshake.close(code, ClosedBy::Client));
    let closed = CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client);
    assert_eq!(handshake.on_error(CloseError::BrokenPipe), closed.with_error(CloseError::BrokenPipe));
}

#[test]
fn the_end_of_a_stream_without_a_close_is_a_peer_that_is_gone() {
    assert_eq!(CloseHandshake::new().on_eof(), Err(CloseSummary::peer_gone(CloseError::Eof)));
    assert_eq!(CloseHandshake::new().on_error(CloseError::Reset), CloseSummary::peer_gone(CloseError::Reset));
}

#[derive(Clone, Debug)]
enum Happening {
    /// The session is commanded to close.
    Command,
    /// The handler, an expiry or a stall closes with this code.
    Close(u16),
    /// The peer sends a Close.
    PeerClose(Option<u16>),
    /// The peer sends anything else.
    Input,
    Violation,
    /// Everything queued is written, with so many replies owed.
    Written(u32),
    /// The peer shuts its side.
    Eof,
    Error,
    /// So many ticks pass.
    Wait(Tick),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => Just(Happening::Command),
        1 => (3000u16..3010).prop_map(Happening::Close),
        2 => prop::option::of(4000u16..4010).prop_map(Happening::PeerClose),
        2 => Just(Happening::Input),
        1 => Just(Happening::Violation),
        8 => (0u32..2).prop_map(Happening::Written),
        1 => Just(Happening::Eof),
        1 => Just(Happening::Error),
        2 => (1u32..20).prop_map(Happening::Wait),
    ]
}

/// A session around the handshake, and what is known of it from outside.
struct Model {
    handshake: CloseHandshake,
    now: Tick,
    /// The Close that was queued.
    ours: Option<(CloseCode, ClosedBy)>,
    peer_closed: bool,
    violated: bool,
    settling: bool,
}

impl Model {
    fn close(&mut self, code: CloseCode, by: ClosedBy) {
        if self.handshake.close(code, by) {
            assert_eq!(self.ours, None, "a second Close is queued");
            self.ours = Some((code, by));
        }
    }

    /// Applies an event, and returns the end of the connection. `unread` tells whether input is left behind the peer's Close.
    fn apply(&mut self, happening: Happening, unread: bool) -> Option<CloseSummary> {
        match happening {
            Happening::Command => {
                self.settling |= self.handshake.is_open();
                self.handshake.settle();
            }
            Happening::Close(code) => self.close(CloseCode::new(code), ClosedBy::Server),
            Happening::PeerClose(code) => {
                if self.handshake.accepts_input() {
                    self.peer_closed = true;
                    let code = self.handshake.on_peer_close(code.map(CloseCode::new));
                    self.close(code, ClosedBy::Client);
                }
            }
            Happening::Input => {
                let _ = self.handshake.accepts_input();
            }
            Happening::Violation => {
                if self.handshake.accepts_input() {
                    self.violated = true;
                    self.handshake.on_violation();
                    self.close(CloseCode::PROTOCOL, ClosedBy::Server);
                }
            }
            Happening::Written(owed) => match self.handshake.on_written(owed, self.now + DEADLINE) {
                Step::Wait | Step::Again => {}
                Step::AwaitReplies => assert!(owed > 0),
                Step::QueueClose => self.close(CloseCode::GOING_AWAY, ClosedBy::Server),
                Step::Finish if unread => self.handshake.linger(self.now + DEADLINE),
                Step::Finish => return Some(self.handshake.finished()),
                Step::Shut => self.handshake.on_shut(),
            },
            Happening::Eof => return self.handshake.on_eof().err(),
            Happening::Error => return Some(self.handshake.on_error(CloseError::Reset)),
            Happening::Wait(ticks) => {
                self.now += ticks;
                if self.handshake.deadline().is_some_and(|deadline| deadline <= self.now) {
                    return Some(self.handshake.on_deadline());
                }
            }
        }
        None
    }
}

proptest! {
    #[test]
    fn any_order_of_events_ends_in_the_right_outcome(
        happenings in prop::collection::vec((happening(), any::<bool>()), 0..40),
    ) {
        let mut model = Model {
            handshake: CloseHandshake::new(),
            now: 1,
            ours: None,
            peer_closed: false,
            violated: false,
            settling: false,
        };
        // Whatever came before, a command, writes and time end every connection.
        let end = [Happening::Command, Happening::Written(0), Happening::Written(0), Happening::Written(0)];
        let end = end.into_iter().chain([Happening::Wait(DEADLINE + 1)]).map(|happening| (happening, true));
        let mut summary = None;
        for (happening, unread) in happenings.into_iter().chain(end) {
            let was_sealed = model.handshake.is_sealed();
            summary = model.apply(happening, unread);
            prop_assert_eq!(model.handshake.is_sealed(), was_sealed || model.ours.is_some());
            prop_assert_eq!(model.handshake.is_open(), model.ours.is_none() && !model.settling);
            if summary.is_some() {
                break;
            }
        }
        let summary = summary.expect("the connection ends");
        let both = model.ours.is_some() && model.peer_closed;
        match summary.outcome {
            Outcome::Closed => prop_assert!(both || model.violated),
            _ => prop_assert!(!both, "{:?}", summary),
        }
        if let (Outcome::Closed, Some((code, by))) = (summary.outcome, model.ours) {
            prop_assert_eq!((summary.code, summary.by), (code, by));
        }
        if summary.outcome == Outcome::TimedOut {
            prop_assert_eq!(Some(summary.code), model.ours.map(|(code, _)| code));
        }
    }
}
