//! `[admin]`: where the operator's address listens, which names it answers to, and who may use it.
//!
//! A section goes in, the address, names and tokens come out. An address that other machines reach wants a token; what
//! a request must bring is the admin room's to check.

use std::net::SocketAddr;

use super::item::Item;
use super::problem::Problem;
use super::read::Surroundings;
use super::section::Section;
use super::{AdminConfig, credential, settings};
use crate::support::net::socket::Listen;
use crate::support::secret::Secret;

const SHORTEST_TOKEN: usize = 16;
const LONGEST_TOKEN: usize = 1024;
const LONGEST_NAME: usize = 253;
const MAKE_ONE: &str = "make one with `openssl rand -hex 32`";

/// A name by which people reach the operator's address, lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    /// `hooks.example.com`
    pub name: String,
    /// The port as people see it, where it is written.
    pub port: Option<u16>,
}

pub(super) fn read(section: &Section<'_>, around: &Surroundings<'_>) -> AdminConfig {
    let listen = section.take("listen", |item| settings::listen(item, around));
    if let Some(Listen::Tcp(address)) = &listen
        && !address.ip().to_canonical().is_loopback()
        && !section.has("token")
    {
        // Of the token, which is wanting: the address is right, and those who look into the inbox need it.
        let problem =
            section.problem("token", format!("is missing, and {} is reachable from other machines", address.ip()));
        section.problems().add(
            problem
                .hint(format!("add token = {{ env = \"HOOKBOX_ADMIN_TOKEN\" }} to [admin]; {MAKE_ONE}"))
                .hint("or listen on \"127.0.0.1:8081\", \"[::1]:8081\" or a \"unix:\" socket"),
        );
    }
    let names = "a list of names, e.g. [\"hooks.example.com\"]";
    AdminConfig {
        listen: listen.unwrap_or(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8081)))),
        hosts: section.list("hosts", names, host_name).unwrap_or_default(),
        tokens: tokens(section, around),
    }
}

fn tokens(section: &Section<'_>, around: &Surroundings<'_>) -> Vec<Secret> {
    let Some(item) = section.item("token") else { return Vec::new() };
    let mut tokens = Vec::new();
    for credential in credential::read(&item, section.sheet(), around) {
        let text = credential.secret.reveal();
        let wrong = match text.len() {
            0..SHORTEST_TOKEN => Some(format!("has fewer than {SHORTEST_TOKEN} characters, and can be guessed")),
            length if length > LONGEST_TOKEN => Some(format!("has more than {LONGEST_TOKEN} characters")),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some("may hold only visible ASCII characters, since a header carries it".to_owned())
            }
            _ => None,
        };
        match wrong {
            Some(message) => section.problems().add(credential.item.problem(message).hint(MAKE_ONE)),
            None => tokens.push(credential.secret),
        }
    }
    tokens
}

fn host_name(item: &Item<'_>) -> Result<HostName, Problem> {
    let text = item.text()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u16>())),
        None => (text, None),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match port.transpose() {
        Ok(port) if !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(is_name) => {
            Ok(HostName { name: name.to_ascii_lowercase(), port })
        }
        _ => Err(item
            .problem(format!("{text:?} is not the name of a host"))
            .hint("the name alone, as it stands in the browser: \"hooks.example.com\", or \"hooks.example.com:8443\"")),
    }
}
