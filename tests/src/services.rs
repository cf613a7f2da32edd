//! Services of this machine that sources read from, filled for a test. Where one is missing the test is skipped with a
//! line on standard error; with `CI=true` it fails.

use async_nats::jetstream::{self, stream};

const NATS: &str = "nats://127.0.0.1:4222";

fn missing<T>(service: &str) -> Option<T> {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{service} is missing");
    eprintln!("SKIPPED: {service} is missing");
    None
}

/// A JetStream stream of this process with these messages: address of the server, name of the stream.
pub fn stream(prefix: &str, messages: impl Iterator<Item = String>) -> Option<(&'static str, String)> {
    let name = format!("{prefix}-{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let filled = runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(NATS).await.ok()?);
        let subjects = vec![format!("{name}.>")];
        // It goes with the server's memory, not with this process.
        let storage = stream::StorageType::Memory;
        let max_age = std::time::Duration::from_secs(3600);
        let config = stream::Config { name: name.clone(), subjects, storage, max_age, ..Default::default() };
        context.create_stream(config).await.ok()?;
        for message in messages {
            context.publish(format!("{name}.all"), message.into()).await.ok()?.await.ok()?;
        }
        Some(())
    });
    if filled.is_none() { missing("NATS with JetStream at 127.0.0.1:4222") } else { Some((NATS, name)) }
}
