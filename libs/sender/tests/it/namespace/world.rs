//! A network namespace in which the whole internet is this machine.
//!
//! The loopback gets a route that makes every address of both families local,
//! so that one listener hears whoever is connected to, wherever that is, and
//! nothing leaves. The kernel counts the SYNs that are sent in a namespace.

use std::net::IpAddr;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

/// The first interface of a namespace.
const LOOPBACK: u32 = 1;
const INET: u8 = 2;
const INET6: u8 = 10;

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
/// Request, acknowledge, create.
const FLAGS: u16 = 0x1 | 0x4 | 0x400;

/// Switches the loopback on; it has 127.0.0.1 and ::1 then.
pub(super) fn begin() {
    let up = 1_u32;
    let mut link = vec![0; 4];
    link.extend(LOOPBACK.to_ne_bytes());
    link.extend(up.to_ne_bytes());
    link.extend(up.to_ne_bytes());
    ask(NEW_LINK, &link);
}

/// Gives the machine an address, as an interface has one.
pub(super) fn own(address: IpAddr) {
    let (family, octets) = match address {
        IpAddr::V4(ip) => (INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (INET6, ip.octets().to_vec()),
    };
    let bits = u8::try_from(octets.len() * 8).unwrap();
    // At once: an IPv6 address that is still asked around for can't be bound.
    let no_duplicates = 2;
    let mut message = vec![family, bits, no_duplicates, 0];
    message.extend(LOOPBACK.to_ne_bytes());
    for attribute in [1, 2] {
        message.extend(self::attribute(attribute, &octets));
    }
    ask(NEW_ADDRESS, &message);
}

/// From here on every address there is leads to this machine.
pub(super) fn be_everywhere() {
    for family in [INET, INET6] {
        // To all destinations, table `local`, for the scope `host`, type `local`.
        let mut message = vec![family, 0, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0];
        message.extend(attribute(4, &LOOPBACK.to_ne_bytes()));
        ask(NEW_ROUTE, &message);
    }
}

/// How many SYNs were sent here so far, by IPv4 and IPv6 together.
pub(super) fn syns() -> u64 {
    let text = std::fs::read_to_string("/proc/self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let names = lines.next().unwrap().split(' ');
    let values = lines.next().unwrap().split(' ');
    let found = names.zip(values).find(|(name, _)| *name == "ActiveOpens");
    found.unwrap().1.parse().unwrap()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes
}

/// Asks the kernel for one change, and is sure that it was made.
fn ask(kind: u16, message: &[u8]) {
    let length = u32::try_from(16 + message.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(message);
    // The default protocol of this family is the one about routes.
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
    assert_eq!(send(&kernel, &bytes, SendFlags::empty()), Ok(bytes.len()));
    let mut answer = [0; 1024];
    let (got, _) = recv(&kernel, &mut answer, RecvFlags::empty()).unwrap();
    assert!(got >= 20, "{got} bytes of an answer");
    let error = i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    assert_eq!(error, 0, "the kernel refuses change {kind}");
}
