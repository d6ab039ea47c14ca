//! Which name servers are asked.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

const PORT: u16 = 53;
const SYSTEM: &str = "/etc/resolv.conf";
/// As many as resolv.conf has ever had; more only prolong an outage.
const SERVERS_MAX: usize = 3;

/// Why it is not known which name servers to ask.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// The system's file can't be read.
    #[error("/etc/resolv.conf cannot be read; make it readable or set egress.dns_servers")]
    Unreadable(#[source] io::Error),
    /// A configured server is no address.
    #[error("{0:?} is not the address of a name server; write as in 10.0.0.10 or 10.0.0.10:53")]
    NotAnAddress(String),
}

/// The name servers of `/etc/resolv.conf`, read once; this machine's own where
/// it names none. Search domains and hosts files are not used.
///
/// # Errors
/// When it is there and can't be read.
pub fn system_servers() -> Result<Vec<SocketAddr>, ServersError> {
    match fs::read_to_string(Path::new(SYSTEM)) {
        Ok(text) => Ok(of_resolv_conf(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(of_resolv_conf("")),
        Err(error) => Err(ServersError::Unreadable(error)),
    }
}

/// Name servers as a person lists them, with or without port.
///
/// # Errors
/// The first that is no address.
pub fn read_servers(texts: &[String]) -> Result<Vec<SocketAddr>, ServersError> {
    let read = |text: &String| {
        let ip = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
        text.parse()
            .or_else(|_| ip())
            .map_err(|_| ServersError::NotAnAddress(text.clone()))
    };
    texts.iter().map(read).collect()
}

fn of_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == "nameserver").then_some(words.next()?)
        })
        // One with a zone id can't be given to a socket by address alone.
        .filter_map(|word| word.parse().ok())
        .map(|ip: IpAddr| SocketAddr::new(ip, PORT))
        .take(SERVERS_MAX)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let text = "# comment\nsearch a.example b.example\nnameserver 10.96.0.10\n; x\n\
                    nameserver\tfd00::10  \nnameserver fe80::1%eth0\noptions ndots:5\n\
                    nameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let expected = ["10.96.0.10:53", "[fd00::10]:53", "10.0.0.1:53"];
        assert_eq!(of_resolv_conf(text), expected.map(|it| it.parse().unwrap()));
        assert_eq!(
            of_resolv_conf("search x\n"),
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[test]
    fn servers_of_a_person() {
        let texts = ["10.0.0.10", "10.0.0.10:5353", "fd00::10", "[fd00::10]:5353"];
        let read = read_servers(&texts.map(str::to_owned)).unwrap();
        let expected = [
            "10.0.0.10:53",
            "10.0.0.10:5353",
            "[fd00::10]:53",
            "[fd00::10]:5353",
        ];
        assert_eq!(read, expected.map(|it| it.parse().unwrap()));
        assert!(read_servers(&["dns.example".to_owned()]).is_err());
    }
}
