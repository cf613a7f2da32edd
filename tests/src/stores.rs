//! Object stores on this machine: moto for S3, fake-gcs-server for Google, Azurite for Azure, each filled by the client of
//! its maker (`tests/clients/objects.py`).

use crate::{clients, network::port};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Name of the bucket or container of every store.
const BUCKET: &str = "kindred";

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Amazon S3.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

/// A store with an empty bucket, ended when dropped.
#[derive(Debug)]
pub struct ObjectStore {
    /// Which it is.
    pub kind: Kind,
    port: u16,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl ObjectStore {
    /// Starts one; none, and a line on standard error, where its program cannot be had. With `CI=true` that is a failure.
    pub fn start(kind: Kind) -> Option<Self> {
        let mut command: Command = clients::python("objects.py")?;
        let port = port();
        let name = match kind {
            Kind::S3 => "s3",
            Kind::Gcs => "gcs",
            Kind::Azure => "azure",
        };
        command.args([name, &port.to_string()]);
        if kind == Kind::Azure {
            command.arg(clients::installed("node_modules/azurite/dist/src/blob/main.js")?);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the store starts");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("its answers"));
        let mut store = Self { kind, port, child, commands, answers };
        store.answer();
        Some(store)
    }

    /// `s3://kindred/KEY`.
    pub fn address(&self, key: &str) -> String {
        let scheme = match self.kind {
            Kind::S3 => "s3",
            Kind::Gcs => "gs",
            Kind::Azure => "az",
        };
        format!("{scheme}://{BUCKET}/{key}")
    }

    /// The option `store` that reaches it.
    pub fn options(&self) -> Value {
        let here = format!("http://127.0.0.1:{}", self.port);
        match self.kind {
            Kind::S3 => {
                json!({ "endpoint": here, "region": "us-east-1", "access_key_id": "owner", "secret_access_key": "owner" })
            }
            Kind::Gcs => json!({ "endpoint": here, "anonymous": true }),
            Kind::Azure => json!({
                "endpoint": format!("{here}/devstoreaccount1"),
                "account": "devstoreaccount1",
                // The well-known key of every Azurite.
                "account_key": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
            }),
        }
    }

    /// Writes an object.
    pub fn put(&mut self, key: &str, bytes: &[u8]) {
        self.command(&json!({ "put": key, "bytes": hexadecimal(bytes) }));
    }

    /// Writes a packed object that Google is to unpack when it is asked for.
    pub fn put_packed(&mut self, key: &str, bytes: &[u8]) {
        self.command(&json!({ "put": key, "bytes": hexadecimal(bytes), "packed": true }));
    }

    /// Deletes an object.
    pub fn delete(&mut self, key: &str) {
        self.command(&json!({ "delete": key }));
    }

    /// From now on S3 asks for rights: the keys of a user that has none.
    pub fn strict(&mut self) -> (String, String) {
        let answer = self.command(&json!({ "strict": true }));
        let mut keys = answer.split_whitespace().skip(1).map(str::to_owned);
        (keys.next().expect("a key"), keys.next().expect("its secret"))
    }

    fn command(&mut self, command: &Value) -> String {
        writeln!(self.commands.as_mut().expect("it runs"), "{command}").expect("it takes commands");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        assert!(line.starts_with("done"), "the store ended: {:?}", self.child.try_wait());
        line
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.commands.take());
        let _ = self.child.wait();
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
