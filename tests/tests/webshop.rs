//! `examples/webshop` with visitors in a headless browser: who agrees is noticed within a second, who changes their mind is
//! forgotten, who refuses was never there.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use kindred_tests::{
    clients,
    network::port,
    sandbox::{Sandbox, repository, said},
    server::Server,
};
use serde_json::Value;
use std::process::{Child, Command, Stdio};

/// A static server for the shop's pages, killed when dropped.
struct Pages(Child);

impl Pages {
    fn serve(port: u16) -> Self {
        let folder = repository().join("examples/webshop/shop");
        let mut python = Command::new("python3");
        python
            .args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1", "--directory"])
            .arg(folder);
        let child = python.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("python3 starts");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < until, "the shop's pages are not served");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_visitor_who_agrees_is_noticed_and_one_who_does_not_is_not_there() {
    let Some(mut browser) = clients::browser("webshop.mjs") else { return };
    let (sandbox, collect, shop) = (Sandbox::new(), port(), port());
    let file = repository().join("examples/webshop/pipeline.toml");
    let path = |name: &str| format!("{name}={}", sandbox.path(name).display());
    let mut command = sandbox.command(&["serve"]);
    command.arg(file);
    for set in [
        format!("collect=127.0.0.1:{collect}"),
        "answer=127.0.0.1:0".to_owned(),
        format!("shop=http://localhost:{shop}"),
        path("store"),
        path("spool"),
        path("out"),
    ] {
        command.args(["--set", &set]);
    }
    let server = Server::started(command);
    let _pages = Pages::serve(shop);
    // One site for the browser: cookies know hosts, not ports.
    let profiles = server.address.replace("127.0.0.1", "localhost");
    browser.args([format!("http://localhost:{shop}"), format!("http://localhost:{collect}"), profiles]);
    let output = browser.output().expect("node starts");
    assert!(output.status.success(), "{}", said(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen}");
    let within = |what: &str, ms: u64| {
        assert!(seen[what].as_u64().is_some_and(|took| took < ms), "{what}: {seen}");
    };
    within("noticed_ms", 1_000);
    within("again_ms", 1_000);
    assert_eq!(seen["banner"], "Your coat is still in the cart: 10 % off until midnight.");
    let cookie = &seen["cookies"][0];
    assert_eq!((&cookie["secure"], &cookie["httpOnly"]), (&true.into(), &true.into()), "{seen}");
    assert_eq!((&cookie["name"], &cookie["sameSite"]), (&"kindred_id".into(), &"Lax".into()), "{seen}");
    // Who took it back is gone from the audience, and the page shows it.
    within("gone_ms", 1_000);
    assert_eq!(seen["hidden"], true);
    assert_eq!(seen["refused"], serde_json::json!({"banner": false, "cookies": 0}));
    let metrics = server.get("/metrics", None).1;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains("kindred_profiles 1\n"), "nothing of the visitor who refused: {metrics}");
    assert!(metrics.contains("kindred_segment_members{segment=\"coat-abandoners\"} 0"), "{metrics}");
    assert!(!server.log().contains(cookie["id"].as_str().unwrap()), "no identifier in a log");
    let (status, out) = server.stop();
    assert!(status.success(), "{out}");
}
