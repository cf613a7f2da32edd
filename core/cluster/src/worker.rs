//! `kindred worker`: serves jobs over datafusion-distributed's worker service until it is ended.

use crate::{PROTOCOL, client::Channels, node::BucketCodec, session::Sessions};
use clap::Args;
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext};
use kindred_core::{Error, Result, log};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::net::TcpListener;
use tonic::transport::{Server, server::TcpIncoming};

/// What a worker is started with.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Address to listen on, HOST:PORT. Port 0 takes a free one; the address is printed.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Directory that the host publishes to, as this machine sees it.
    #[arg(long, value_name = "DIRECTORY")]
    pub shared: PathBuf,
}

/// Serves until the process is ended; `ready` is told the address.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(options: &Options, ready: impl FnOnce(SocketAddr)) -> Result<()> {
    let address = options.listen;
    let failed = move || Error::io(format!("address {address}"));
    let listener = TcpListener::bind(address).await.map_err(failed())?;
    let bound = listener.local_addr().map_err(failed())?;
    if !bound.ip().is_loopback() {
        log::warn("jobs are taken from everybody who reaches this address: keep it in a trusted network");
    }
    ready(bound);
    Server::builder()
        .add_service(service(options).into_worker_server())
        .serve_with_incoming(TcpIncoming::from(listener))
        .await
        .map_err(|e| Error::Engine(format!("the worker on {bound} ended: {e}")))
}

fn service(options: &Options) -> Worker {
    let sessions = Arc::new(Sessions::new(&options.shared));
    let channels = Channels::default();
    let slots = std::thread::available_parallelism().map_or(1, usize::from);
    let build = move |query: WorkerQueryContext| {
        let (codec, channels) = (BucketCodec { sessions: Some(sessions.clone()) }, channels.clone());
        let builder =
            query.builder.with_distributed_user_codec(codec).with_distributed_channel_resolver(channels);
        async move { Ok(builder.build()) }
    };
    Worker::from_session_builder(build).with_version(format!("{PROTOCOL} slots {slots}"))
}
