//! The host's side of a worker: what it is, and a job there and back.

use crate::{
    PROTOCOL,
    job::{Job, Reply},
    node::{self, BucketCodec, BucketExec},
};
use async_trait::async_trait;
use datafusion::{
    common::{DataFusionError, Result, exec_datafusion_err, exec_err},
    execution::{SessionStateBuilder, TaskContext},
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use datafusion_distributed::{
    ChannelResolver, DistributedExt, ExecuteTaskRequest, GetWorkerInfoRequest, MaybeEncoded, ProducerHead,
    SetPlanRequest, TaskKey, WorkerChannel,
    grpc::{BoxCloneSyncChannel, create_worker_client},
};
use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use url::Url;
use uuid::Uuid;

/// How long a worker may take to accept a connection and to say who it is.
const GREETING: Duration = Duration::from_secs(5);

/// Where a worker is, as the library wants it.
pub(crate) fn url(address: &str) -> Result<Url> {
    Url::parse(&format!("http://{address}")).map_err(|e| exec_datafusion_err!("{address}: {e}"))
}

/// Connections by address. They are made when first used, and again after they broke.
#[derive(Clone, Debug, Default)]
pub(crate) struct Channels(Arc<Mutex<HashMap<Url, Channel>>>);

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match known.get(url) {
            Some(channel) => channel.clone(),
            None => {
                let endpoint = Endpoint::from_shared(url.to_string())
                    .map_err(|e| exec_datafusion_err!("{url}: {e}"))?
                    .connect_timeout(GREETING)
                    .tcp_nodelay(true);
                known.entry(url.clone()).or_insert(endpoint.connect_lazy()).clone()
            }
        };
        Ok(create_worker_client(BoxCloneSyncChannel::new(channel)))
    }
}

/// A worker that answered.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    url: Url,
    channels: Channels,
    context: Arc<TaskContext>,
}

impl Client {
    /// Greets a worker; answers how many jobs it does at a time.
    pub(crate) async fn connect(address: &str) -> Result<(Self, usize)> {
        // A connection of its own: a broken one is not tried again.
        let channels = Channels::default();
        let state = SessionStateBuilder::new()
            .with_distributed_channel_resolver(channels.clone())
            .with_distributed_user_codec(BucketCodec::default())
            .with_distributed_metrics_collection(false)?
            .build();
        let client = Self { url: url(address)?, channels, context: state.task_ctx() };
        let mut channel = client.channel().await?;
        let info = tokio::time::timeout(GREETING, channel.get_worker_info(GetWorkerInfoRequest {})).await;
        let info = info.map_err(|_| exec_datafusion_err!("it does not answer"))??;
        let slots = info.version.strip_prefix(PROTOCOL).and_then(|rest| rest.strip_prefix(" slots "));
        match slots.and_then(|slots| slots.parse().ok()) {
            Some(slots) => Ok((client, std::cmp::max(slots, 1))),
            None => exec_err!("it speaks `{}`, this is `{PROTOCOL}`", info.version),
        }
    }

    /// Has a job done. Dropping the future tells the worker to give it up.
    pub(crate) async fn ask(&self, job: Job) -> Result<Reply> {
        let key = TaskKey { query_id: Uuid::new_v4(), stage_id: 1, task_number: 0 };
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let plan = SetPlanRequest {
            task_key: key,
            task_count: 1,
            plan: MaybeEncoded::Decoded(Arc::new(BucketExec::new(job))),
            work_unit_feed_declarations: Vec::new(),
            target_worker_url: self.url.clone(),
            query_start_time_ns: started.as_nanos() as usize,
        };
        let execute = ExecuteTaskRequest {
            task_key: key,
            target_partition_start: 0,
            target_partition_end: 1,
            producer_head: ProducerHead::None,
        };
        // The worker forgets the plan when this side of the control stream ends.
        let (end, ended) = oneshot::channel::<()>();
        let open = stream::once(ended).filter_map(|_| async { None }).boxed();
        let (mut channel, metrics) = (self.channel().await?, ExecutionPlanMetricsSet::new());
        let control =
            channel.coordinator_channel(HeaderMap::new(), plan, open, metrics.clone(), &self.context).await?;
        let mut parts = channel.execute_task(HeaderMap::new(), execute, metrics, &self.context).await?;
        let Some(part) = parts.pop() else { return exec_err!("it sent no stream") };
        let batches: Vec<_> = part.try_collect().await?;
        drop((end, control));
        node::reply(&batches)
    }

    async fn channel(&self) -> Result<Box<dyn WorkerChannel>, DataFusionError> {
        self.channels.get_worker_client_for_url(&self.url).await
    }
}
