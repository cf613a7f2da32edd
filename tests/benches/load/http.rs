//! As much of HTTP/1.1 as a load generator needs: one connection, one request at a time.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is kept, and made anew when it breaks.
pub(crate) struct Client {
    port: u16,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// Status and body. A connection that breaks is one failure; the next request makes another.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let answer = self.exchange(request);
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    pub(crate) fn get(&mut self, path: &str, key: &str) -> io::Result<(u16, Vec<u8>)> {
        self.ask(get(path, key).as_bytes())
    }

    /// Posts a batch of events in Segment's form.
    pub(crate) fn batch(&mut self, events: &[String]) -> io::Result<u16> {
        let body = format!(r#"{{"writeKey":"wk_app_test","batch":[{}]}}"#, events.join(","));
        let head = "POST /v1/batch HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length";
        self.ask(format!("{head}: {}\r\n\r\n{body}", body.len()).as_bytes()).map(|(status, _)| status)
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(self.port)?),
        };
        stream.get_mut().write_all(request)?;
        let (status, length) = head(stream)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}

/// Lines of a stream of server-sent events.
pub(crate) fn events(port: u16, path: &str, key: &str) -> io::Result<impl Iterator<Item = String>> {
    let mut stream = connect(port)?;
    stream.get_mut().write_all(get(path, key).as_bytes())?;
    match head(&mut stream)? {
        (200, _) => Ok(stream.lines().map_while(Result::ok)),
        (status, _) => Err(io::Error::other(format!("{path} is answered with {status}"))),
    }
}

fn get(path: &str, key: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\r\n")
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// Status, and bytes of the body where its length is told.
fn head(stream: &mut BufReader<TcpStream>) -> io::Result<(u16, usize)> {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(' ') {
            _ if line == "\r\n" => return Ok((status, length)),
            Some(("HTTP/1.1", rest)) => status = rest.get(..3).and_then(|n| n.parse().ok()).unwrap_or(0),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            _ => {}
        }
    }
}
