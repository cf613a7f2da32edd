//! A collector on a free port, a client that speaks plain HTTP, and the rows that come out.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests, none of which uses all"
)]

use arrow::array::{AsArray, RecordBatch};
use kindred_collector::{Collector, CollectorConfig, Shared};
use kindred_plugin_api::{Context, Poll, Reject, options};
use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

pub const COOKIE_SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const BEARER: &str = "Bearer sk_shop_0123456789";
pub const GRANTED: &str = r#","consent":{"no_signal":"granted"}"#;

/// Options: a site `shop` that is granted everything without a signal, and one that is not.
pub fn config(more: &str) -> CollectorConfig {
    let json = format!(
        r#"{{"listen":"127.0.0.1:0","cookie":{{"secret":"{COOKIE_SECRET}"}},"public_url":"https://c.shop.example",
            "sites":{{"shop":{{"key":"wk_shop_1","secret":"sk_shop_0123456789","origins":["https://shop.example"]
            {GRANTED}}},"strict":{{"key":"wk_strict_1","origins":["https://strict.example"]}}}},
            "partners":{{"openx":{{"url":"https://rtb.openx.net/s?gdpr={{{{.GDPR}}}}&c={{{{.GDPRConsent}}}}&r={{{{.RedirectURL}}}}","user_macro":"$UID"}}}}{more}}}"#
    );
    let mut config: CollectorConfig = options::parse(&json).unwrap();
    // How full this machine's disk is, is no matter of a test.
    config.spool.disk_limit = 1.0;
    assert_eq!(config.problems(""), []);
    config
}

pub struct Server {
    pub collector: Collector,
    pub address: SocketAddr,
}

pub fn open(folder: &Path, config: &CollectorConfig, shared: &Shared, state: Option<Vec<u8>>) -> Server {
    let context = Context::detached(folder).with_state(state);
    let collector = Collector::open(config, shared, context).unwrap();
    Server { address: collector.local_address(), collector }
}

pub fn start(folder: &Path) -> Server {
    open(folder, &config(""), &Shared::default(), None)
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// The pair `name=value` of the cookie that is set.
    pub fn cookie(&self) -> Option<&str> {
        self.header("set-cookie").and_then(|text| text.split(';').next())
    }
}

impl Server {
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, method, path, headers, body)
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers, b"")
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.ask("POST", path, headers, body.as_bytes())
    }

    /// Everything that is durable now.
    pub fn rows(&mut self) -> (Vec<RecordBatch>, Vec<Reject>) {
        let (mut batches, mut rejects) = (Vec::new(), Vec::new());
        while let Poll::Rows(rows) = self.collector.poll(1000, 400).unwrap() {
            assert_eq!(rows.batch.schema(), self.collector.schema());
            if rows.batch.num_rows() > 0 {
                batches.push(rows.batch);
            }
            rejects.extend(rows.rejects);
        }
        (batches, rejects)
    }

    /// The one batch that there is.
    pub fn batch(&mut self) -> RecordBatch {
        let (batches, rejects) = self.rows();
        assert_eq!(rejects, []);
        let schema = self.collector.schema();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }
}

pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: c.shop.example\r\nconnection: close\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if !body.is_empty() {
        write!(head, "content-length: {}\r\n", body.len()).unwrap();
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // A body that is refused early may not be read to its end.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
}

pub fn texts(batch: &RecordBatch, column: &str) -> Vec<String> {
    let column = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    let texts = column.as_string::<i32>();
    texts.iter().map(|text| text.unwrap_or("∅").to_owned()).collect()
}

pub fn codes(rejects: &[Reject]) -> Vec<&str> {
    rejects.iter().map(|reject| reject.code.as_str()).collect()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn basic(key: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    format!("Basic {}", BASE64_STANDARD.encode(format!("{key}:")))
}
