//! Forbidden addresses in a network of the test's own, where every address
//! there is would be heard, and the kernel counts SYNs.
//!
//! The loopback tests (`egress`, `dns`) run everywhere and show the same for the
//! addresses that a loopback has. This one needs a kernel that lets a process
//! make namespaces; where it does not, it fails, unless a variable says that it
//! is known: `scripts/test` looks, and says in its summary what was left out.

#![allow(
    clippy::print_stdout,
    reason = "a table says how many rows it was checked with"
)]

mod table;
mod world;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};

use hooklane_sender::{DnsResolver, DnsTimeouts, Sender, SenderConfig, TlsDefaults};
use hooklane_test_support::{DnsAnswer, DnsServer};
use tokio::io::AsyncWriteExt;
use url::Url;

use crate::support::{post, read_request, reason, run, status};
use table::{PUBLIC, Row, rows};

const INSIDE: &str = "HOOKLANE_TEST_INSIDE_NAMESPACE";
const WITHOUT: &str = "HOOKLANE_TEST_WITHOUT_NAMESPACES";
const NAME: &str = "namespace::no_forbidden_address_sees_a_syn";
const UNSHARE: [&str; 3] = ["--user", "--map-root-user", "--net"];

/// Goal: what the policy forbids sees no SYN, as a literal and as what a name
/// resolves to, on the machine's own public addresses too; and what it does
/// not forbid is reached, so that the silence means something.
/// Method: this binary again, in a namespace whose every address leads to one
/// listener; the real connector and resolver; the kernel's count of SYNs.
#[test]
fn no_forbidden_address_sees_a_syn() {
    if std::env::var_os(INSIDE).is_some() {
        return run(inside());
    }
    let mut probe = Command::new("unshare");
    probe
        .args(UNSHARE)
        .args(["test", "-e", "/proc/net/if_inet6"]);
    let probed = probe.output();
    if !probed.as_ref().is_ok_and(|ran| ran.status.success()) {
        assert!(
            std::env::var_os(WITHOUT).is_some(),
            "no network namespace can be made here ({probed:?}). Allow it (as root, or with \
             kernel.unprivileged_userns_clone=1), or set {WITHOUT}=1: then forbidden addresses are \
             tried on the loopback only."
        );
        println!("NOT RUN: no network namespace can be made here, and {WITHOUT} is set");
        return;
    }
    let ran = Command::new("unshare")
        .args(UNSHARE)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    println!("{}", text.concat());
    assert!(ran.status.success() && text.concat().contains("1 passed"));
}

async fn inside() {
    world::begin();
    let canary = Canary::start();
    refuse_own_addresses(&canary).await;
    world::be_everywhere();
    let before = world::syns();
    let (rows, zone) = (rows(), Zone::start());
    let strict = zone.sender(policy(&[]));
    for row in &rows {
        for url in [canary.literal(row.ip), zone.url(row.ip, canary.port)] {
            let said = attempt(&strict, &url).await;
            assert_eq!(said, Err("forbidden_address"), "{}: {url}", row.class);
        }
    }
    assert_eq!(world::syns() - before, 0, "SYNs to forbidden addresses");
    assert_eq!(canary.heard(), BTreeSet::new());
    for ip in PUBLIC.iter().map(|ip| ip.parse().unwrap()) {
        for url in [canary.literal(ip), zone.url(ip, canary.port)] {
            assert_eq!(attempt(&strict, &url).await, Ok(200), "{url}");
        }
    }
    assert_eq!(world::syns() - before, 2 * PUBLIC.len() as u64);
    let heard = hear_them_all(&canary, &zone, &rows).await;
    println!(
        "{} forbidden addresses as literals and behind names: no SYN; without the policy {heard} \
         of them answer; {} public ones answer with it",
        rows.len(),
        PUBLIC.len()
    );
}

/// With everything allowed each of them is reached, but for those that the
/// kernel itself calls nobody at.
async fn hear_them_all(canary: &Canary, zone: &Zone, rows: &[Row]) -> usize {
    let open = zone.sender(policy(&["0.0.0.0/0", "::/0"]));
    let mut heard = 0;
    for row in rows {
        let said = attempt(&open, &canary.literal(row.ip)).await;
        assert_eq!(said.is_ok(), !is_mute(row.ip), "{}: {}", row.class, row.ip);
        heard += usize::from(said.is_ok());
    }
    heard
}

/// TCP calls one, not many; and a link-local address needs the name of a link.
fn is_mute(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let to_all = ip.is_broadcast() || ip == Ipv4Addr::new(127, 255, 255, 255);
            ip.is_multicast() || to_all
        }
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unicast_link_local(),
    }
}

/// A public address is refused as soon as it is on an interface here.
async fn refuse_own_addresses(canary: &Canary) {
    let strict = Zone::start().sender(policy(&[]));
    let before = world::syns();
    for own in ["93.184.216.34", "2606:4700::1"] {
        let own = own.parse().unwrap();
        world::own(own);
        let said = attempt(&strict, &canary.literal(own)).await;
        assert_eq!(said, Err("forbidden_address"), "{own} is our own");
    }
    assert_eq!(world::syns(), before);
    let open = Zone::start().sender(policy(&["93.184.216.34/32"]));
    let url = canary.literal("93.184.216.34".parse().unwrap());
    assert_eq!(
        attempt(&open, &url).await,
        Ok(200),
        "it would have answered"
    );
    canary.forget();
}

fn policy(allowed: &[&str]) -> SenderConfig {
    let mut config = SenderConfig::default();
    config.egress.allow_http = true;
    config.egress.allow_cidrs = allowed.iter().map(|net| net.parse().unwrap()).collect();
    config
}

async fn attempt(sender: &Sender, url: &Url) -> Result<u16, &'static str> {
    let destination = sender.destination(url).unwrap();
    let report = post(sender, &destination).await;
    match &report.result {
        Ok(_) => Ok(status(&report)),
        Err(_) => {
            assert!(!report.started, "{url}");
            Err(reason(&report))
        }
    }
}

/// A listener on all addresses, which notes at which it was called.
struct Canary {
    port: u16,
    heard: Arc<Mutex<BTreeSet<IpAddr>>>,
}

impl Canary {
    fn start() -> Self {
        let listener = TcpListener::bind("[::]:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let heard = Arc::<Mutex<BTreeSet<IpAddr>>>::default();
        let notes = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                notes
                    .lock()
                    .unwrap()
                    .insert(stream.local_addr().unwrap().ip());
                read_request(&mut stream).await;
                let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> BTreeSet<IpAddr> {
        self.heard.lock().unwrap().clone()
    }

    fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }

    fn literal(&self, ip: IpAddr) -> Url {
        let address = SocketAddr::new(ip, self.port);
        Url::parse(&format!("http://{address}/")).unwrap()
    }
}

/// Names, each of which says what it resolves to.
struct Zone(DnsServer);

impl Zone {
    fn start() -> Self {
        let server = DnsServer::start(|question| {
            let hex = question.name.strip_suffix(".example.").unwrap();
            let bits = |hex| u128::from_str_radix(hex, 16).unwrap();
            let ip = match hex.split_at(1) {
                ("4", hex) => IpAddr::from(u32::try_from(bits(hex)).unwrap().to_be_bytes()),
                (_, hex) => IpAddr::from(bits(hex).to_be_bytes()),
            };
            DnsAnswer::Addresses(vec![ip], 60)
        });
        Self(server.unwrap())
    }

    fn url(&self, ip: IpAddr, port: u16) -> Url {
        let label = match ip {
            IpAddr::V4(ip) => format!("4{:x}", ip.to_bits()),
            IpAddr::V6(ip) => format!("6{:x}", ip.to_bits()),
        };
        Url::parse(&format!("http://{label}.example:{port}/")).unwrap()
    }

    fn sender(&self, config: SenderConfig) -> Sender {
        let resolver = DnsResolver::try_new(&[self.0.addr()], DnsTimeouts::default()).unwrap();
        Sender::new(config, TlsDefaults::load(&[]).unwrap(), Arc::new(resolver))
    }
}
