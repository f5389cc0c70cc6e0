//! The rules of a drill: their ids, what they demand, why, and how to comply.

use std::fmt;

macro_rules! rules {
    ($($id:ident $weight:literal $demand:literal $why:literal $source:literal $mend:literal)*) => {
        /// A rule. Ids are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each rule says what it demands: `Rule::demand`")]
        #[non_exhaustive]
        pub enum Rule { $($id,)* }

        impl Rule {
            /// Every rule, in the order of reports.
            pub const ALL: &[Self] = &[$(Self::$id,)*];

            /// The id, such as `C4`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$id => stringify!($id),)* }
            }

            /// What a server has to do.
            #[must_use]
            pub const fn demand(self) -> &'static str {
                match self { $(Self::$id => $demand,)* }
            }

            /// Why.
            #[must_use]
            pub const fn why(self) -> &'static str {
                match self { $(Self::$id => $why,)* }
            }

            /// Where the demand comes from.
            #[must_use]
            pub const fn source(self) -> &'static str {
                match self { $(Self::$id => $source,)* }
            }

            /// How to make a failing server pass.
            #[must_use]
            pub const fn mend(self) -> &'static str {
                match self { $(Self::$id => $mend,)* }
            }

            /// What the rule counts in the grade: 3 where messages or whole deploys are lost, else 1.
            #[must_use]
            pub const fn weight(self) -> u32 {
                match self { $(Self::$id => $weight,)* }
            }
        }
    };
}

rules! {
    E1 3 "the process exits by itself within the grace period"
        "SIGKILL ends whatever is still in flight."
        "Kubernetes, Termination of Pods"
        "Bound every wait of the shutdown; close what is left when the bound has passed."
    E2 1 "its exit status is 0"
        "Supervisors treat another status as a crash: they alert, or restart the process."
        "systemd.service(5), SuccessExitStatus; Kubernetes, container restart policy"
        "Handle SIGTERM, and return 0 from an orderly shutdown."
    E3 1 "one client that does not read or answer does not use up the grace period"
        "One unreachable client must not turn every deploy into a SIGKILL."
        "RFC 6455 section 7.1.1: an endpoint may close the TCP connection at any time if the peer misbehaves"
        "Give each close handshake and each write a bound of its own, and cut the connection when it has passed."
    E4 1 "a second signal ends it sooner"
        "A repeated signal means that the process should end now."
        "Common practice of Unix daemons: the first signal asks, the second forces"
        "Keep listening for signals during the shutdown; cut what is left at the second."
    C1 3 "every client that behaves gets a Close frame"
        "Without one a client sees 1006, and cannot tell a deploy from a crash."
        "RFC 6455 section 7.1.2"
        "Track upgraded connections; the HTTP server's graceful shutdown does not know of them. Close each."
    C2 1 "the close code is 1001 or 1012, with a reason"
        "Clients decide by the code whether to reconnect; after 1000 many do not."
        "RFC 6455 section 7.4.1 (1001); IANA WebSocket Close Code Number Registry (1012)"
        "Send 1001 with a short reason."
    C3 1 "the client's Close is awaited, for a second at least"
        "A server that closes TCP first may reset the connection and destroy its own Close frame."
        "RFC 6455 section 7.1.1: the server closes TCP after both have sent and received a Close"
        "After sending Close, read and discard until the peer's Close, with a bound of a second or more."
    C4 3 "no client that behaves ends in a reset, also those that were sending"
        "Closing a socket with unread input sends RST, and RST discards data that the client has not read yet."
        "RFC 1122 section 4.2.2.13"
        "Read to the end of input, within a bound, before closing the socket."
    C5 1 "nothing follows the Close, and frames are whole"
        "Data after a Close is a protocol violation; half a frame is lost data."
        "RFC 6455 section 5.5.1"
        "Write the Close last, through the same queue as everything else."
    C6 1 "closes are spread over time, or each client gets its own time to reconnect"
        "A reconnect of all clients at once is the next outage."
        "RFC 6455 section 7.2.3: recover from abnormal closure with a delay"
        "Spread the closes over time, or give each client a slot of its own before its Close."
    N1 1 "a connection attempt after the signal gets an answer"
        "A reset or a hang costs the client seconds, and looks like an outage."
        "RFC 9110 section 15.6.4 (503)"
        "Keep the listener open during the shutdown, and answer 503; accept what waits in the backlog before closing it."
    N2 1 "no connection is admitted that is then closed within the shutdown"
        "A connection admitted now is closed again within seconds."
        "RFC 9110 section 15.6.4 (503)"
        "Refuse upgrades from the signal on."
    N3 1 "the refusal says when to retry"
        "Without it clients retry at once, against the same dying process."
        "RFC 9110 section 10.2.3 (Retry-After)"
        "Send Retry-After with the 503."
    H1 1 "readiness fails before the first Close"
        "Load balancers must stop routing new connections here before clients reconnect."
        "Kubernetes, Pod lifecycle: readiness of terminating endpoints"
        "Fail readiness at the signal, and close the first connection some seconds later."
    H2 1 "liveness answers until the process is about to exit"
        "A liveness probe that fails during the drain gets the process killed in it."
        "Kubernetes, Liveness probes"
        "Serve HTTP to the end; liveness does not depend on the shutdown."
    Q1 3 "what was queued for a slow client reaches it before its Close"
        "A message that was accepted and that others received must not be lost to one client because it reads slowly."
        "RFC 6455 section 7.1.2: a Close follows what was sent before it"
        "Put the Close behind the queue, and write it all, within the budget of the drain."
    Q2 3 "what was being sent when the signal came is answered or refused, not dropped"
        "The user believes that a message without an answer was sent."
        "The end-to-end principle: only the application can say what was processed"
        "After the signal go on serving, or answer with an error; stop reading only right before the Close."
    Q3 3 "all members of a room have seen the same messages, in the same order"
        "Half a broadcast is worse than none: two users see two conversations."
        "Atomic broadcast: agreement and total order"
        "Finish broadcasts that have begun before the first member is closed."
    Q4 3 "what was acknowledged is there after a restart"
        "An acknowledgement is a promise."
        "Durability, as of a commit"
        "Acknowledge after the write is durable; flush before the exit."
    Q5 1 "a client that reconnects misses nothing"
        "A deploy is noticed by the hole that it leaves in the conversation."
        "Last-Event-ID of Server-Sent Events is the same idea"
        "Give messages a position, and let clients resume from the last they have seen."
}

impl Rule {
    /// The rule with that id, in capitals or not.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.id().eq_ignore_ascii_case(id))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}
