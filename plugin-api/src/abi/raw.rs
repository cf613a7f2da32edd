//! The raw boundary, version 1: every type and call that crosses between host and plugin.
//!
//! Plain structs are frozen for the whole major version. Open sets are integers in a transparent struct, never
//! enums, because a new variant of an enum is a break. Prefix types and traits grow at the end only, and a new
//! trait method carries a default.

use abi_stable::{
    declare_root_module_statics,
    library::RootModule,
    package_version_strings, sabi_trait,
    sabi_types::VersionStrings,
    std_types::{RBox, ROption, RResult, RSlice, RStr, RString, RVec},
    StableAbi,
};
use std::os::raw::{c_char, c_void};

/// `struct ArrowSchema` of the Arrow C Data Interface.
#[repr(C)]
#[derive(StableAbi)]
pub struct ArrowSchema {
    /// Type, as the specification's format string.
    #[sabi(unsafe_opaque_field)]
    pub format: *const c_char,
    /// Field name.
    #[sabi(unsafe_opaque_field)]
    pub name: *const c_char,
    /// Key-value metadata.
    #[sabi(unsafe_opaque_field)]
    pub metadata: *const c_char,
    /// Nullable, dictionary-ordered, map-keys-sorted.
    pub flags: i64,
    /// Length of `children`.
    pub n_children: i64,
    /// Child fields.
    #[sabi(unsafe_opaque_field)]
    pub children: *mut *mut ArrowSchema,
    /// Values of a dictionary type.
    #[sabi(unsafe_opaque_field)]
    pub dictionary: *mut ArrowSchema,
    /// Frees the structure; null once moved out.
    #[sabi(unsafe_opaque_field)]
    pub release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    /// Belongs to the producer.
    #[sabi(unsafe_opaque_field)]
    pub private_data: *mut c_void,
}

/// `struct ArrowArray` of the Arrow C Data Interface.
#[repr(C)]
#[derive(StableAbi)]
pub struct ArrowArray {
    /// Rows.
    pub length: i64,
    /// Nulls, or -1 when not counted.
    pub null_count: i64,
    /// First row inside the buffers.
    pub offset: i64,
    /// Length of `buffers`.
    pub n_buffers: i64,
    /// Length of `children`.
    pub n_children: i64,
    /// Data buffers.
    #[sabi(unsafe_opaque_field)]
    pub buffers: *mut *const c_void,
    /// Child arrays.
    #[sabi(unsafe_opaque_field)]
    pub children: *mut *mut ArrowArray,
    /// Values of a dictionary array.
    #[sabi(unsafe_opaque_field)]
    pub dictionary: *mut ArrowArray,
    /// Frees the structure; null once moved out.
    #[sabi(unsafe_opaque_field)]
    pub release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    /// Belongs to the producer.
    #[sabi(unsafe_opaque_field)]
    pub private_data: *mut c_void,
}

macro_rules! owned {
    ($($name:ident),*) => { $(
        impl Drop for $name {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: the specification obliges the holder of a structure whose release is not null to
                    // call it once with that structure.
                    unsafe { release(self) }
                }
            }
        }
        // SAFETY: the specification lets a structure be moved to, and released on, another thread.
        unsafe impl Send for $name {}
        impl $name {
            /// The released structure: nothing inside.
            pub fn none() -> Self {
                // SAFETY: null pointers, zero counts and `None` are this structure's valid empty state.
                unsafe { std::mem::zeroed() }
            }
            /// True when the structure was released or moved out.
            pub fn is_none(&self) -> bool {
                self.release.is_none()
            }
        }
    )* };
}
owned!(ArrowSchema, ArrowArray);

/// Rows that cross. A released `schema` means "as agreed at `bind`"; a released `array` means "no rows".
#[repr(C)]
#[derive(StableAbi)]
pub struct Batch {
    /// One struct array; each child is a column.
    pub array: ArrowArray,
    /// Released, or the schema of `array`.
    pub schema: ArrowSchema,
    /// High half of the batch's id; the same on redelivery.
    pub id_hi: u64,
    /// Low half of the batch's id.
    pub id_lo: u64,
    /// Largest event time inside, microseconds since 1970; `i64::MIN` when unknown.
    pub event_time_max_us: i64,
    /// None yet; zero.
    pub flags: u64,
    /// For later minors; zero.
    pub reserved: [u64; 4],
}

impl Batch {
    /// No rows.
    pub fn none() -> Self {
        Self {
            array: ArrowArray::none(),
            schema: ArrowSchema::none(),
            id_hi: 0,
            id_lo: 0,
            event_time_max_us: i64::MIN,
            flags: 0,
            reserved: [0; 4],
        }
    }
}

/// What kind of failure; an unknown number is treated as permanent. Numbers: see [`crate::FaultKind`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawFaultKind(pub u32);

/// A failure that crosses.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct RawFault {
    /// Decides what the host does next.
    pub kind: RawFaultKind,
    /// Zero, or the wait that the far side asked for.
    pub retry_after_ms: u64,
    /// Short, stable, for machines.
    pub code: RString,
    /// One line for people.
    pub message: RString,
    /// A JSON array of problems (`path`, `message`, `help`), or empty.
    pub detail_json: RString,
}

/// The result of every call.
pub type R<T> = RResult<T, RawFault>;

/// What `poll` found: 0 a batch, 1 nothing for now, 2 nothing ever again.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollState(pub u32);
impl PollState {
    /// Rows, rejects or a new position.
    pub const BATCH: Self = Self(0);
    /// Nothing now; ask again after `wait_ms`.
    pub const IDLE: Self = Self(1);
    /// The source is finished.
    pub const END: Self = Self(2);
}

/// The answer of a source.
#[repr(C)]
#[derive(StableAbi)]
pub struct Polled {
    /// Which of the three.
    pub state: PollState,
    /// With IDLE: when to ask again.
    pub wait_ms: u64,
    /// With BATCH: the rows.
    pub batch: Batch,
    /// Rows that could not be read: `row: u64, code: utf8, message: utf8, payload: utf8, origin: utf8`.
    pub rejects: Batch,
    /// Where to go on after this batch; opaque to the host.
    pub position: RVec<u8>,
    /// Rows known to be waiting behind this batch, or 0.
    pub backlog_rows: u64,
}

/// The answer of an enrichment or segmentation.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawProcessed {
    /// Rows that go on.
    pub out: Batch,
    /// Rows of the input that do not: `row: u64, code: utf8, message: utf8, payload: utf8, origin: utf8`.
    pub rejects: Batch,
}

/// The answer of a model that was fitted.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawFitted {
    /// One JSON object per segment: what the model is worth and what drives it.
    pub report_json: RString,
    /// What `open` gets back as `position` in the next run.
    pub state: RVec<u8>,
}

/// The answer of a destination that made its rows durable.
#[repr(C)]
#[derive(StableAbi)]
pub struct RawFlushed {
    /// Rows durable at the far side.
    pub rows: u64,
    /// Rows that the far side refused, each batch shaped like the rejects of `poll`.
    pub rejects: RVec<Batch>,
    /// What the far side said: files, job ids, as a JSON array of strings.
    pub receipts_json: RString,
}

/// Services that the host offers; callable from any thread of a plugin while its instance is open.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostRef)))]
#[sabi(missing_field(option))]
pub struct Host {
    /// Level 1 error, 2 warning, 3 information, 4 debug.
    pub log: extern "C" fn(ctx: u64, level: u8, message: RStr<'_>),
    /// Kind 0 counter, 1 gauge.
    pub metric: extern "C" fn(ctx: u64, kind: u8, name: RStr<'_>, value: f64),
    /// True once the host wants this instance to stop.
    pub cancelled: extern "C" fn(ctx: u64) -> bool,
    /// Sleeps up to `ms`; true when cancelled meanwhile.
    pub sleep: extern "C" fn(ctx: u64, ms: u64) -> bool,
    /// A secret by name.
    pub secret: extern "C" fn(ctx: u64, name: RStr<'_>) -> R<RString>,
    /// The host's clock, microseconds since 1970.
    #[sabi(last_prefix_field)]
    pub now_us: extern "C" fn(ctx: u64) -> i64,
}

/// What an instance is opened with.
#[repr(C)]
#[derive(StableAbi)]
pub struct OpenArgs {
    /// The options; for a segmentation an array of `{name, config}`.
    pub config_json: RString,
    /// Name in the pipeline file.
    pub instance: RString,
    /// Folder that relative paths start from.
    pub base_dir: RString,
    /// Position, checkpoint or model state of an earlier run.
    pub position: ROption<RVec<u8>>,
    /// Host services.
    pub host: HostRef,
    /// Passed to each host call; a number, never a pointer.
    pub ctx: u64,
    /// [`LOOKS_ONLY`] or zero; bits that are not known mean nothing.
    pub flags: u64,
}

/// A flag of [`OpenArgs`]: the instance is only asked for its schema and closed again. Since 1.2; an older plugin opens as
/// ever.
pub const LOOKS_ONLY: u64 = 1;

/// A source, raw.
#[sabi_trait]
pub trait RawSource: Send {
    /// Schema of every batch.
    fn schema(&mut self) -> R<ArrowSchema>;
    /// Up to `max_rows` rows within `deadline_ms`.
    fn poll(&mut self, max_rows: u64, deadline_ms: u64) -> R<Polled>;
    /// Everything up to `position` is committed.
    fn ack(&mut self, position: RSlice<'_, u8>) -> R<()>;
    /// Last call.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> R<()>;
}

/// An enrichment, raw.
#[sabi_trait]
pub trait RawEnrichment: Send {
    /// Agrees the schemas.
    fn bind(&mut self, input: ArrowSchema) -> R<ArrowSchema>;
    /// One batch.
    fn process(&mut self, batch: Batch, deadline_ms: u64) -> R<RawProcessed>;
    /// State to be opened with after a restart.
    fn checkpoint(&mut self) -> R<RVec<u8>>;
    /// Last call.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> R<()>;
}

/// A segmentation, raw.
#[sabi_trait]
pub trait RawSegmentation: Send {
    /// Shown every column there is, answers with the ones it needs (JSON, [`crate::Needs`]).
    fn plan(&mut self, catalog: ArrowSchema) -> R<RString>;
    /// Agrees the schema of the profile batches.
    fn bind(&mut self, input: ArrowSchema) -> R<()>;
    /// Models: one batch of the training pass.
    fn observe(&mut self, batch: Batch, deadline_ms: u64) -> R<()>;
    /// Models: end of the training pass.
    fn fit(&mut self) -> R<RawFitted>;
    /// `segments: list<u32>, next_change_at: timestamp`, one row per profile, in order.
    fn evaluate(&mut self, batch: Batch, deadline_ms: u64) -> R<RawProcessed>;
    /// One profile, one segment: a tree of conditions as JSON ([`crate::Reason`]).
    fn explain(&mut self, batch: Batch, segment: u32) -> R<RString>;
    /// Last call.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> R<()>;
    /// Models that add up: what was observed so far. Since 1.3.
    fn observed(&mut self) -> R<RVec<u8>> {
        alone()
    }
    /// Models that add up: what another instance observed. Since 1.3.
    fn absorb(&mut self, _observed: RSlice<'_, u8>) -> R<()> {
        alone()
    }
    /// Models that recall: `observe`, and `evaluate` where nothing needs to be fitted. Since 1.4.
    fn survey(&mut self, _batch: Batch, _deadline_ms: u64) -> R<RawProcessed> {
        forgets()
    }
    /// Models that recall: what another instance was fitted to. Since 1.4.
    fn learn(&mut self, _state: RSlice<'_, u8>) -> R<()> {
        forgets()
    }
    /// Models that recall: what `survey` left out of a batch. Since 1.4.
    fn recall(&mut self, _batch: u32) -> R<RawProcessed> {
        forgets()
    }
}

fn forgets<T>() -> R<T> {
    R::RErr(crate::Fault::unsupported("this segmentation remembers no batch").into())
}

fn alone<T>() -> R<T> {
    R::RErr(crate::Fault::unsupported("what instances of this segmentation observed does not add up").into())
}

/// A destination, raw.
#[sabi_trait]
pub trait RawDestination: Send {
    /// Agrees the schema of the activation rows.
    fn bind(&mut self, input: ArrowSchema) -> R<()>;
    /// Starts a delivery (JSON, [`crate::Delivery`]); the same delivery may come again.
    fn begin(&mut self, delivery_json: RStr<'_>) -> R<()>;
    /// Accepted, not yet durable.
    fn write(&mut self, batch: Batch, deadline_ms: u64) -> R<()>;
    /// Everything since `begin` is durable.
    fn flush(&mut self, deadline_ms: u64) -> R<RawFlushed>;
    /// Last call.
    #[sabi(last_prefix_field)]
    fn close(&mut self) -> R<()>;
}

/// A source that crosses.
pub type SourceBox = RawSource_TO<'static, RBox<()>>;
/// An enrichment that crosses.
pub type EnrichmentBox = RawEnrichment_TO<'static, RBox<()>>;
/// A segmentation that crosses.
pub type SegmentationBox = RawSegmentation_TO<'static, RBox<()>>;
/// A destination that crosses.
pub type DestinationBox = RawDestination_TO<'static, RBox<()>>;

/// One plugin: who it is, how it is configured, how it is opened. Exactly one `open_*` is set.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginRef)))]
#[sabi(missing_field(option))]
pub struct Plugin {
    /// JSON, see [`crate::Manifest`].
    pub manifest: extern "C" fn() -> RString,
    /// JSON Schema (2020-12) of the options.
    pub config_schema: extern "C" fn() -> RString,
    /// Checks options without touching the outside; answers facts as JSON ([`crate::Facts`]).
    pub validate: extern "C" fn(config_json: RStr<'_>) -> R<RString>,
    /// Checks that the outside is reachable; no side effect.
    pub check: extern "C" fn(OpenArgs) -> R<()>,
    /// Opens a source.
    pub open_source: ROption<extern "C" fn(OpenArgs) -> R<SourceBox>>,
    /// Opens an enrichment.
    pub open_enrichment: ROption<extern "C" fn(OpenArgs) -> R<EnrichmentBox>>,
    /// Opens a segmentation.
    pub open_segmentation: ROption<extern "C" fn(OpenArgs) -> R<SegmentationBox>>,
    /// Opens a destination.
    #[sabi(last_prefix_field)]
    pub open_destination: ROption<extern "C" fn(OpenArgs) -> R<DestinationBox>>,
}

/// What a library exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(option))]
pub struct Root {
    /// False when built with `panic = "abort"`; such a library is refused.
    pub unwinds: bool,
    /// All plugins inside.
    #[sabi(last_prefix_field)]
    pub plugins: extern "C" fn() -> RVec<PluginRef>,
}

impl RootModule for RootRef {
    declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "kindred_plugin";
    const NAME: &'static str = "kindred_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
