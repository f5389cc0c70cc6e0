//! The addresses of the servers, and the order in which they are tried.

use crate::BuildError;
use crate::dial::Target;
use http::Uri;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// One address: the target to dial, and the URL to request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) target: Target,
    /// The URL of the WebSocket route, with the user in the query.
    pub(crate) uri: Uri,
}

impl Server {
    /// Parses `ws://HOST[:PORT][PATH]`; `http` and `https` mean `ws` and `wss`. The path is the service's: `/ws` is appended
    /// unless it is there.
    pub(crate) fn parse(address: &str, user: Option<&str>) -> Result<Self, BuildError> {
        let wrong = |problem| BuildError::Server { address: address.to_owned(), problem };
        let uri: Uri = address.parse().map_err(|_| wrong("not a URL"))?;
        if !matches!(uri.scheme_str(), Some("ws" | "http" | "wss" | "https")) {
            return Err(wrong("it must begin with ws:// or wss://"));
        }
        let (Some(target), Some(authority)) = (Target::from_uri(&uri), uri.authority()) else {
            return Err(wrong("it names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("credentials are not allowed here: use a token"));
        }
        if uri.query().is_some() {
            return Err(wrong("it must have no query"));
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/ws").unwrap_or(path);
        let user = user.map(|user| format!("?user={}", utf8_percent_encode(user, NON_ALPHANUMERIC)));
        let scheme = if target.tls { "wss" } else { "ws" };
        let uri = format!("{scheme}://{authority}{path}/ws{}", user.unwrap_or_default());
        Ok(Self { target, uri: uri.parse().map_err(|_| wrong("not a URL"))? })
    }
}

/// Several servers of one service, tried in turn.
#[derive(Debug)]
pub(crate) struct Rotation {
    servers: Vec<Server>,
    next: usize,
}

impl Rotation {
    /// `start` chooses the first server: a fleet whose clients choose it at random spreads over all servers.
    ///
    /// # Errors
    ///
    /// When there is no server.
    pub(crate) fn new(servers: Vec<Server>, start: usize) -> Result<Self, BuildError> {
        let next = start.checked_rem(servers.len()).ok_or(BuildError::NoServer)?;
        Ok(Self { servers, next })
    }

    /// Each attempt takes the next one: the last one failed, was overloaded or shuts down.
    pub(crate) fn next(&mut self) -> &Server {
        let turn = self.next;
        self.next = (turn + 1) % self.servers.len();
        &self.servers[turn]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> (String, String, u16, bool) {
        let Server { target, uri } = Server::parse(address, None).unwrap();
        (uri.to_string(), target.host, target.port, target.tls)
    }

    #[test]
    fn the_websocket_route_is_derived_from_every_form_of_address() {
        let at = |uri: &str, port| (uri.to_owned(), "h".to_owned(), port, false);
        assert_eq!(parse("ws://h:8080/chat"), at("ws://h:8080/chat/ws", 8080));
        assert_eq!(parse("ws://h:8080/chat/ws"), at("ws://h:8080/chat/ws", 8080));
        assert_eq!(parse("http://h:8080/chat/"), at("ws://h:8080/chat/ws", 8080));
        assert_eq!(parse("ws://h"), at("ws://h/ws", 80));
        assert_eq!(parse("wss://h/chat"), ("wss://h/chat/ws".to_owned(), "h".to_owned(), 443, true));
        assert_eq!(parse("ws://[::1]:9"), ("ws://[::1]:9/ws".to_owned(), "::1".to_owned(), 9, false));
    }

    #[test]
    fn any_user_id_is_encoded() {
        let server = Server::parse("ws://h", Some("zoë & co")).unwrap();
        assert_eq!(server.uri.to_string(), "ws://h/ws?user=zo%C3%AB%20%26%20co");
    }

    #[test]
    fn an_invalid_address_is_reported_with_its_fault() {
        let error = |address| Server::parse(address, None).unwrap_err().to_string();
        assert_eq!(error("h:80"), "server address `h:80`: it must begin with ws:// or wss://");
        assert_eq!(error("/chat"), "server address `/chat`: it must begin with ws:// or wss://");
        assert_eq!(error("ws://h h"), "server address `ws://h h`: not a URL");
        assert_eq!(error("ws://:80"), "server address `ws://:80`: it names no host");
        assert_eq!(error("ws://h/?a=b"), "server address `ws://h/?a=b`: it must have no query");
        assert!(error("ws://a:b@h").contains("use a token"));
    }

    #[test]
    fn servers_take_turns_from_any_start() {
        let servers = ["ws://a", "ws://b", "ws://c"].map(|address| Server::parse(address, None).unwrap());
        let mut rotation = Rotation::new(servers.to_vec(), 5).unwrap();
        let turns: Vec<_> = (0..4).map(|_| rotation.next().target.host.clone()).collect();
        assert_eq!(turns, ["c", "a", "b", "c"]);
        assert!(matches!(Rotation::new(Vec::new(), 5), Err(BuildError::NoServer)));
    }
}
