//! An egress proxy: it answers `CONNECT` by a function, and notes what it was
//! asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::listener::Listener;

/// A question is a line and two headers.
const HEAD_MAX: usize = 8 << 10;

/// One `CONNECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectQuestion {
    /// Where to, as it was written.
    pub target: String,
    /// `proxy-authorization`.
    pub authorization: Option<String>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectAnswer {
    /// A connection to this address, whatever was asked for.
    Through(SocketAddr),
    /// This status, and the end.
    Status(u16),
}

type Rule = Arc<dyn Fn(&ConnectQuestion) -> ConnectAnswer + Send + Sync>;
type Asked = Arc<Mutex<Vec<ConnectQuestion>>>;

/// A running proxy; dropped, it closes its port and every connection.
pub struct ConnectProxy {
    listener: Listener,
    asked: Asked,
}

impl ConnectProxy {
    /// Listens on `addr` and does what `rule` says.
    ///
    /// # Errors
    /// When it can't listen there.
    pub fn start(
        addr: SocketAddr,
        rule: impl Fn(&ConnectQuestion) -> ConnectAnswer + Send + Sync + 'static,
    ) -> anyhow::Result<ConnectProxy> {
        let asked = Asked::default();
        let (rule, notes): (Rule, _) = (Arc::new(rule), Arc::clone(&asked));
        let listener = Listener::start("connect-proxy", addr, move |listener| {
            accept(listener, rule, notes)
        })?;
        Ok(ConnectProxy { listener, asked })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// All questions so far.
    #[must_use]
    pub fn asked(&self) -> Vec<ConnectQuestion> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

async fn accept(listener: TcpListener, rule: Rule, asked: Asked) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            let (rule, asked) = (Arc::clone(&rule), Arc::clone(&asked));
            tokio::spawn(async move { serve(client, &rule, &asked).await.ok() });
        }
    }
}

async fn serve(mut client: TcpStream, rule: &Rule, asked: &Asked) -> std::io::Result<()> {
    let Some(question) = read(&mut client).await? else {
        return client.write_all(b"HTTP/1.1 400 No\r\n\r\n").await;
    };
    let answer = rule(&question);
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(question);
    let server = match answer {
        ConnectAnswer::Through(server) => server,
        ConnectAnswer::Status(status) => {
            let head = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
            return client.write_all(head.as_bytes()).await;
        }
    };
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The question; `None` if it is another one, or too long.
async fn read(client: &mut TcpStream) -> std::io::Result<Option<ConnectQuestion>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_MAX || client.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    if first.next() != Some("CONNECT") {
        return Ok(None);
    }
    let value = |line: &str| {
        line.strip_prefix("proxy-authorization: ")
            .map(str::to_owned)
    };
    Ok(first.next().map(|target| ConnectQuestion {
        target: target.to_owned(),
        authorization: lines.find_map(value),
    }))
}
