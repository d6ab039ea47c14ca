//! A name server inside the test process that answers by a function, over UDP
//! and TCP, faults included. It counts what it is asked.

use std::collections::HashMap;
use std::net::{self, IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;

/// What a zone says to one question.
#[derive(Clone, Debug)]
pub enum DnsAnswer {
    /// These addresses, as far as they are of the family asked for, with a TTL
    /// in seconds. More than fit into a datagram are cut off there.
    Addresses(Vec<IpAddr>, u32),
    /// Another name, and nothing about it.
    Alias(String),
    /// One address, in a message with something wrong.
    Lie(DnsLie, IpAddr),
    /// An error: 2 is SERVFAIL, 3 is NXDOMAIN, 5 is REFUSED.
    Error(u8),
    /// Bytes that are no message.
    Garbage,
    /// Nothing.
    Silence,
}

/// What is wrong with a message that is otherwise as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsLie {
    /// The record claims more bytes than there are.
    RecordLength,
    /// The header claims 65,535 records.
    RecordCount,
    /// It answers another question: its id is not the question's.
    Id,
    /// The address is another name's.
    Name,
    /// Cut off over UDP; over TCP the frame claims more bytes than come.
    FrameLength,
}

/// One question.
#[derive(Clone, Debug)]
pub struct DnsQuestion {
    /// The name, lower case, with its final dot.
    pub name: String,
    /// Whether it is asked for IPv6 addresses; IPv4 otherwise.
    pub v6: bool,
    /// The how manieth question about this name and family, from 1.
    pub nth: usize,
}

type Zone = Arc<dyn Fn(&DnsQuestion) -> DnsAnswer + Send + Sync>;
type Asked = Arc<Mutex<HashMap<(String, bool), usize>>>;

/// A running name server; dropped, it is gone.
pub struct DnsServer {
    addr: SocketAddr,
    asked: Asked,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DnsServer {
    /// Answers by `zone` on a free port of the loopback, UDP and TCP.
    ///
    /// # Errors
    /// When it can't listen.
    pub fn start(
        zone: impl Fn(&DnsQuestion) -> DnsAnswer + Send + Sync + 'static,
    ) -> anyhow::Result<DnsServer> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (udp, tcp, addr) = bind()?;
        let asked = Asked::default();
        let (stop, stopped) = oneshot::channel();
        let zone: Zone = Arc::new(zone);
        let counts = Arc::clone(&asked);
        let thread = std::thread::Builder::new()
            .name("name-server".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let inside = "we are inside a runtime";
                    let udp = UdpSocket::from_std(udp).expect(inside);
                    let tcp = TcpListener::from_std(tcp).expect(inside);
                    tokio::select! {
                        biased;
                        _ = stopped => {}
                        () = serve_udp(&udp, &zone, &counts) => {}
                        () = serve_tcp(tcp, &zone, &counts) => {}
                    }
                });
            })?;
        Ok(DnsServer {
            addr,
            asked,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Questions about a name so far, both families and transports.
    #[must_use]
    pub fn asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |v6| asked.get(&(name.to_owned(), v6)).copied().unwrap_or(0);
        of(false) + of(true)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// A port that is free for both transports.
fn bind() -> anyhow::Result<(net::UdpSocket, net::TcpListener, SocketAddr)> {
    for _ in 0..16 {
        let udp = net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = udp.local_addr()?;
        if let Ok(tcp) = net::TcpListener::bind(addr) {
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            return Ok((udp, tcp, addr));
        }
    }
    anyhow::bail!("no port is free for UDP and TCP")
}

async fn serve_udp(socket: &UdpSocket, zone: &Zone, asked: &Asked) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        if let Some(reply) = reply(&buffer[..length], zone, asked, Some(1_232)) {
            socket.send_to(&reply.bytes, peer).await.ok();
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: &Zone, asked: &Asked) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (zone, asked) = (Arc::clone(zone), Arc::clone(asked));
        tokio::spawn(async move { talk(stream, &zone, &asked).await.ok() });
    }
}

async fn talk(mut stream: TcpStream, zone: &Zone, asked: &Asked) -> anyhow::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut request = vec![0; usize::from(length)];
        stream.read_exact(&mut request).await?;
        let Some(reply) = reply(&request, zone, asked, None) else {
            // Silence keeps the connection, as a server under load does.
            tokio::time::sleep(Duration::from_secs(3_600)).await;
            continue;
        };
        let length = u16::try_from(reply.bytes.len()).context("the answer fits into a message")?;
        stream.write_u16(length + reply.missing).await?;
        stream.write_all(&reply.bytes).await?;
        if reply.missing > 0 {
            return Ok(());
        }
    }
}

/// What is sent, and how many bytes more a frame of TCP claims.
struct Reply {
    bytes: Vec<u8>,
    missing: u16,
}

impl Reply {
    fn whole(bytes: Vec<u8>) -> Self {
        Self { bytes, missing: 0 }
    }
}

fn reply(request: &[u8], zone: &Zone, asked: &Asked, limit: Option<usize>) -> Option<Reply> {
    let request = Message::from_vec(request).ok()?;
    let query = request.queries.first()?;
    let v6 = match query.query_type() {
        RecordType::A => false,
        RecordType::AAAA => true,
        _ => return None,
    };
    let name = query.name().to_string().to_lowercase();
    let nth = {
        let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry((name.clone(), v6)).or_insert(0);
        *count += 1;
        *count
    };
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_query(query.clone());
    match zone(&DnsQuestion { name, v6, nth }) {
        DnsAnswer::Addresses(addresses, ttl) => {
            let of_family = addresses.into_iter().filter(|ip| ip.is_ipv6() == v6);
            message.add_answers(
                of_family.map(|ip| Record::from_rdata(query.name().clone(), ttl, RData::from(ip))),
            );
        }
        DnsAnswer::Alias(to) => {
            let to = Name::from_ascii(to).ok()?;
            let data = RData::CNAME(CNAME(to));
            message.add_answer(Record::from_rdata(query.name().clone(), 0, data));
        }
        DnsAnswer::Lie(lie, address) => return lying(message, query.name(), (lie, address), limit),
        DnsAnswer::Error(code) => {
            message.metadata.response_code = ResponseCode::from(0, code);
        }
        DnsAnswer::Garbage => return Some(Reply::whole(vec![0xff; 40])),
        DnsAnswer::Silence => return None,
    }
    let whole = message.to_vec().ok()?;
    if limit.is_some_and(|limit| whole.len() > limit) {
        return message.truncate().to_vec().ok().map(Reply::whole);
    }
    Some(Reply::whole(whole))
}

/// One address in a message with something wrong. The other family is told
/// the truth: that there is none.
fn lying(
    mut message: Message,
    asked: &Name,
    (lie, address): (DnsLie, IpAddr),
    limit: Option<usize>,
) -> Option<Reply> {
    let v6 = message.queries.first()?.query_type() == RecordType::AAAA;
    if address.is_ipv6() != v6 {
        return message.to_vec().ok().map(Reply::whole);
    }
    if lie == DnsLie::FrameLength && limit.is_some() {
        return message.truncate().to_vec().ok().map(Reply::whole);
    }
    let name = match lie {
        DnsLie::Name => Name::from_ascii("somebody.else.example.").ok()?,
        _ => asked.clone(),
    };
    message.add_answer(Record::from_rdata(name, 60, RData::from(address)));
    let mut bytes = message.to_vec().ok()?;
    match lie {
        DnsLie::Id => bytes[0] ^= 0xff,
        DnsLie::RecordCount => bytes[6..8].fill(0xff),
        DnsLie::RecordLength => {
            // The last record is the only one: its length stands before its data.
            let at = bytes.len() - if v6 { 18 } else { 6 };
            bytes[at..at + 2].fill(0xff);
        }
        DnsLie::Name | DnsLie::FrameLength => {}
    }
    let missing = if lie == DnsLie::FrameLength { 1_000 } else { 0 };
    Some(Reply { bytes, missing })
}
