//! A server that answers each connection as the test says, also wrongly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes back for a request, byte for byte.
pub enum Reply {
    Bytes(Vec<u8>),
    /// Nothing, for longer than anybody waits.
    Silence,
}

#[derive(Clone)]
pub struct Server {
    pub addr: SocketAddr,
    /// The heads of all requests.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers the n-th request with `reply(n, head)`.
    pub fn start(reply: impl Fn(usize, &str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { addr: listener.local_addr().unwrap(), requests: Arc::new(Mutex::default()) };
        let requests = server.requests.clone();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let head = head(&mut stream);
                let number = {
                    let mut requests = requests.lock().unwrap();
                    requests.push(head.clone());
                    requests.len() - 1
                };
                match reply(number, &head) {
                    // The client may be gone by then.
                    Reply::Bytes(bytes) => drop(stream.write_all(&bytes)),
                    Reply::Silence => held.push(stream),
                }
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}/forecast", self.addr)
    }

    pub fn heads(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn head(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub fn reply(status: &str, headers: &str, body: &[u8]) -> Reply {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    Reply::Bytes(bytes)
}
