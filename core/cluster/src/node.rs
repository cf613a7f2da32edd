//! A job as a leaf of a DataFusion plan: the host encodes it, the worker decodes and executes it. Its one row and one
//! column is the reply, so that a reply arrives whole or not at all.

use crate::{
    job::{Job, Reply},
    session::Sessions,
};
use datafusion::{
    arrow::{
        array::{AsArray, BinaryArray, RecordBatch},
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    common::{Result, exec_datafusion_err, exec_err, internal_err, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// Told apart from other extensions of a plan.
const MARK: &[u8] = b"kindred-bucket\0";

static SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("reply", DataType::Binary, false)])));

/// Evaluates one bucket.
#[derive(Debug)]
pub(crate) struct BucketExec {
    job: Arc<Job>,
    /// Where there are sessions, it can be executed: on a worker.
    sessions: Option<Arc<Sessions>>,
    properties: Arc<PlanProperties>,
}

impl BucketExec {
    /// To be sent.
    pub(crate) fn new(job: Job) -> Self {
        Self::with(job, None)
    }

    fn with(job: Job, sessions: Option<Arc<Sessions>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(SCHEMA.clone()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { job: Arc::new(job), sessions, properties: Arc::new(properties) }
    }
}

/// The reply in what a worker streamed.
pub(crate) fn reply(batches: &[RecordBatch]) -> Result<Reply> {
    let mut rows = batches.iter().flat_map(|batch| match batch.columns() {
        [column] => column.as_binary_opt::<i32>().into_iter().flatten().flatten().collect(),
        _ => Vec::new(),
    });
    match (rows.next(), rows.next()) {
        (Some(bytes), None) => {
            postcard::from_bytes(bytes).map_err(|e| exec_datafusion_err!("its reply cannot be read: {e}"))
        }
        _ => exec_err!("its reply is not one row"),
    }
}

impl DisplayAs for BucketExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketExec: group={}, bucket={}", self.job.group, self.job.bucket)
    }
}

impl ExecutionPlan for BucketExec {
    fn name(&self) -> &str {
        "BucketExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(sessions) = self.sessions.clone() else {
            return internal_err!("a bucket is evaluated by `kindred worker` only");
        };
        let job = self.job.clone();
        let rows = async move {
            let reply = sessions.evaluate(job).await?;
            let bytes = postcard::to_stdvec(&reply).map_err(|e| exec_datafusion_err!("{e}"))?;
            let column = Arc::new(BinaryArray::from_iter_values([bytes]));
            Ok(RecordBatch::try_new(SCHEMA.clone(), vec![column])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(SCHEMA.clone(), futures::stream::once(rows))))
    }
}

/// Takes [`BucketExec`] across.
#[derive(Debug, Default)]
pub(crate) struct BucketCodec {
    /// Of a worker.
    pub(crate) sessions: Option<Arc<Sessions>>,
}

impl PhysicalExtensionCodec for BucketCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(bytes) = bytes.strip_prefix(MARK) else { return internal_err!("not a bucket") };
        let job =
            postcard::from_bytes(bytes).map_err(|e| exec_datafusion_err!("the job cannot be read: {e}"))?;
        Ok(Arc::new(BucketExec::with(job, self.sessions.clone())))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(bucket) = node.downcast_ref::<BucketExec>() else {
            return internal_err!("`{}` is not a bucket", node.name());
        };
        bytes.extend_from_slice(MARK);
        bytes.extend(postcard::to_stdvec(&*bucket.job).map_err(|e| exec_datafusion_err!("{e}"))?);
        Ok(())
    }
}
