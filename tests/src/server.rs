//! A running `kindred serve`, and requests to it.

use crate::sandbox::Sandbox;
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `http://HOST:PORT` of its own interface.
    pub address: String,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// Starts `kindred serve FILE` and waits until it answers.
    pub fn start(sandbox: &Sandbox, file: &str, arguments: &[&str]) -> Self {
        let mut command = sandbox.command(&["serve", file]);
        command.args(arguments);
        Self::started(command)
    }

    /// The same of a command that is made elsewhere.
    pub fn started(mut command: Command) -> Self {
        let mut child =
            command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kindred starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().expect("its log")), log.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut server = Self { child, address: String::new(), log };
        server.address = server.wait_for("its address", |server| {
            let log = server.log();
            let at = log.find("http://")?;
            Some(log[at..].split(['"', '\n']).next()?.trim().to_owned())
        });
        server.wait_for("readiness", |server| (server.get("/readyz", None).0 == 200).then_some(()));
        server
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `look` finds something.
    pub fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("waiting for {what}: kindred ended with {status}: {}", self.log());
            }
            assert!(Instant::now() < until, "no {what} after {PATIENCE:?}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str, key: Option<&str>) -> (u16, Value) {
        let mut request = agent().get(format!("{}{path}", self.address));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(request.call())
    }

    /// Status and body of a POST of JSON.
    pub fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        let request = agent().post(format!("{}{path}", self.address));
        answer(request.header("authorization", format!("Bearer {key}")).send_json(body))
    }

    /// A stream of server-sent events.
    pub fn stream(&self, path: &str, key: &str) -> impl Iterator<Item = String> + use<> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_recv_body(Some(PATIENCE)).build().into();
        let request = agent.get(format!("{}{path}", self.address));
        let response = request.header("authorization", format!("Bearer {key}")).call().expect("a stream");
        BufReader::new(response.into_body().into_reader()).lines().map_while(Result::ok)
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `KILL`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGTERM and waits.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = self.child.wait().expect("it ends");
        let mut out = String::new();
        // What it printed stands in the pipe until it is read.
        let _ = self.child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut out));
        (status, out)
    }

    /// Ends it at once and waits.
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.timeout_global(Some(Duration::from_secs(20))).build().into()
}

/// A server that is not there counts as status 0.
fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Value) {
    let Ok(mut response) = response else { return (0, Value::Null) };
    let text = response.body_mut().read_to_string().unwrap_or_default();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
