//! A library that goes past the SDK: it speaks the raw boundary and lies about everything it sends. Its option is the
//! name of the lie.

// abi_stable's macros make items without documentation; this library is nobody's interface.
#![allow(missing_docs, unreachable_pub, reason = "the raw boundary's items, for one test")]

use kindred_plugin_api::{
    Kind, Manifest,
    abi::{
        abi_stable::{
            library as entry,
            prefix_type::PrefixTypeTrait,
            sabi_trait::TD_Opaque,
            std_types::{
                ROption::{RNone, RSome},
                RResult::ROk,
                RSlice, RStr, RString, RVec,
            },
        },
        batch::{export, export_schema},
        raw::*,
    },
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StringArray},
        datatypes::{DataType, Field, Schema, SchemaRef},
        ffi::FFI_ArrowSchema,
    },
    manifest::{ROOM, Section},
};
use std::sync::Arc;

const SOURCE: Manifest =
    Manifest { name: "liar-source", version: "0.1.0", summary: "lies", capabilities: &[] };
const SEGMENTATION: Manifest =
    Manifest { name: "liar-segmentation", version: "0.1.0", summary: "lies", capabilities: &[] };
const DESTINATION: Manifest =
    Manifest { name: "liar-destination", version: "0.1.0", summary: "lies", capabilities: &[] };

#[used]
#[unsafe(link_section = ".kindred_manifest")]
static MANIFEST: [u8; 3 * ROOM] = Section::new()
    .plugin(&SOURCE, Kind::Source)
    .plugin(&SEGMENTATION, Kind::Segmentation)
    .plugin(&DESTINATION, Kind::Destination)
    .bytes();

extern "C" fn erased() -> entry::RootModuleResult {
    entry::__call_root_module_loader(root)
}

#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static ENTRY: entry::LibHeader =
    // SAFETY: `erased` answers the type that is named.
    unsafe { entry::LibHeader::from_constructor::<RootRef>(erased, entry::CheckTypeLayout::Yes) };

fn root() -> RootRef {
    extern "C" fn plugins() -> RVec<PluginRef> {
        vec![source(), segmentation(), destination()].into()
    }
    Root { unwinds: true, plugins }.leak_into_prefix()
}

extern "C" fn config_schema() -> RString {
    "{ this is no JSON".into()
}
extern "C" fn validate(_: RStr<'_>) -> R<RString> {
    ROk("nor is this".into())
}
extern "C" fn check(_: OpenArgs) -> R<()> {
    ROk(())
}

fn plugin(manifest: extern "C" fn() -> RString) -> Plugin {
    Plugin {
        manifest,
        config_schema,
        validate,
        check,
        open_source: RNone,
        open_enrichment: RNone,
        open_segmentation: RNone,
        open_destination: RNone,
    }
}

fn source() -> PluginRef {
    extern "C" fn manifest() -> RString {
        Section::<ROOM>::new().plugin(&SOURCE, Kind::Source).to_text().into()
    }
    extern "C" fn open(args: OpenArgs) -> R<SourceBox> {
        ROk(RawSource_TO::from_value(Liar(args.instance.into()), TD_Opaque))
    }
    Plugin { open_source: RSome(open), ..plugin(manifest) }.leak_into_prefix()
}

fn segmentation() -> PluginRef {
    extern "C" fn manifest() -> RString {
        Section::<ROOM>::new().plugin(&SEGMENTATION, Kind::Segmentation).to_text().into()
    }
    extern "C" fn open(args: OpenArgs) -> R<SegmentationBox> {
        ROk(RawSegmentation_TO::from_value(Liar(args.instance.into()), TD_Opaque))
    }
    Plugin { open_segmentation: RSome(open), ..plugin(manifest) }.leak_into_prefix()
}

fn destination() -> PluginRef {
    extern "C" fn manifest() -> RString {
        Section::<ROOM>::new().plugin(&DESTINATION, Kind::Destination).to_text().into()
    }
    extern "C" fn open(args: OpenArgs) -> R<DestinationBox> {
        ROk(RawDestination_TO::from_value(Liar(args.instance.into()), TD_Opaque))
    }
    Plugin { open_destination: RSome(open), ..plugin(manifest) }.leak_into_prefix()
}

/// The name of the instance is the name of the lie.
struct Liar(String);

fn schema() -> SchemaRef {
    let words = DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("number", DataType::Int64, true),
        Field::new("word", words, true),
    ]))
}

fn rows() -> RecordBatch {
    let words: kindred_plugin_api::arrow::array::DictionaryArray<_> =
        [Some("a"), Some("b"), None].into_iter().collect::<Words>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["one", "two", "three"])),
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(words),
    ];
    RecordBatch::try_new(schema(), columns).expect("the columns fit the schema")
}
type Words =
    kindred_plugin_api::arrow::array::DictionaryArray<kindred_plugin_api::arrow::datatypes::UInt32Type>;

/// A column of an exported batch.
fn column(batch: &mut Batch, index: usize) -> &mut ArrowArray {
    // SAFETY: the batch was exported here with three columns and is not released.
    unsafe { &mut **batch.array.children.add(index) }
}

/// The string offsets of column 0: four of them.
fn offsets(batch: &mut Batch) -> &mut [i32] {
    let text = column(batch, 0);
    // SAFETY: buffer 1 of a string array with three rows holds four offsets; nobody else looks at them now.
    unsafe { std::slice::from_raw_parts_mut((*text.buffers.add(1)).cast_mut().cast::<i32>(), 4) }
}

fn lie(how: &str) -> Batch {
    let mut batch = export(&rows());
    match how {
        "more-rows-than-columns-have" => batch.array.length = 1_000_000,
        "length-of-all-memory" => batch.array.length = i64::MAX,
        "column-of-all-memory" => column(&mut batch, 1).length = i64::MAX,
        "offset-of-all-memory" => column(&mut batch, 1).offset = i64::MAX,
        "negative-length" => column(&mut batch, 1).length = -1,
        "negative-offset" => column(&mut batch, 1).offset = -1,
        "short-column" => column(&mut batch, 1).length = 2,
        "a-column-less" => batch.array.n_children = 2,
        "a-buffer-less" => column(&mut batch, 0).n_buffers = 2,
        "no-buffers" => column(&mut batch, 0).buffers = std::ptr::null_mut(),
        "no-values" => {
            let number = column(&mut batch, 1);
            // SAFETY: an Int64 array has two buffers.
            unsafe { *number.buffers.add(1) = std::ptr::null() }
        }
        "no-offsets" => {
            let text = column(&mut batch, 0);
            // SAFETY: a string array has three buffers.
            unsafe { *text.buffers.add(1) = std::ptr::null() }
        }
        "no-children" => batch.array.children = std::ptr::null_mut(),
        "no-child" => {
            let children =
                [column(&mut batch, 0) as *mut _, std::ptr::null_mut(), column(&mut batch, 2) as *mut _];
            // Leaked: the array's own list is freed by its release.
            batch.array.children = Box::leak(Box::new(children)).as_mut_ptr();
        }
        "no-dictionary" => column(&mut batch, 2).dictionary = std::ptr::null_mut(),
        "dictionary-of-another-shape" => {
            // SAFETY: column 2 is dictionary-coded.
            unsafe { (*column(&mut batch, 2).dictionary).n_buffers = 1 }
        }
        "key-without-word" => {
            let word = column(&mut batch, 2);
            // SAFETY: buffer 1 of a dictionary array holds its three keys.
            unsafe { *(*word.buffers.add(1)).cast_mut().cast::<u32>() = 77 }
        }
        "offsets-go-back" => offsets(&mut batch)[1] = 8,
        "offsets-below-zero" => offsets(&mut batch)[1] = -4,
        "last-offset-below-zero" => offsets(&mut batch)[3] = -4,
        "other-schema" => {
            let other = Schema::new(vec![Field::new("other", DataType::Utf8, true)]);
            batch.schema = export_schema(&other).expect("a plain schema");
        }
        "wrong-null-count" => column(&mut batch, 1).null_count = 2,
        _ => {}
    }
    batch
}

fn schema_of(format: &str) -> ArrowSchema {
    let schema = FFI_ArrowSchema::try_new(format, vec![], None).expect("a text without nul");
    // SAFETY: both are `struct ArrowSchema` of the C Data Interface.
    unsafe { std::mem::transmute::<FFI_ArrowSchema, ArrowSchema>(schema) }
}

impl RawSource for Liar {
    fn schema(&mut self) -> R<ArrowSchema> {
        match self.0.as_str() {
            "released-schema" => ROk(ArrowSchema::none()),
            "schema-is-no-struct" => ROk(schema_of("u")),
            "schema-of-no-type" => ROk(schema_of("no such type")),
            _ => ROk(export_schema(&schema()).expect("a plain schema")),
        }
    }

    fn poll(&mut self, _max_rows: u64, _deadline_ms: u64) -> R<Polled> {
        let state = if self.0 == "unknown-state" { PollState(99) } else { PollState::BATCH };
        let rejects = if self.0 == "rejects-of-another-shape" { export(&rows()) } else { Batch::none() };
        ROk(Polled {
            state,
            wait_ms: 0,
            batch: lie(&self.0),
            rejects,
            position: RVec::new(),
            backlog_rows: 0,
        })
    }

    fn ack(&mut self, _position: RSlice<'_, u8>) -> R<()> {
        ROk(())
    }

    fn close(&mut self) -> R<()> {
        ROk(())
    }
}

impl RawSegmentation for Liar {
    fn plan(&mut self, _catalog: ArrowSchema) -> R<RString> {
        ROk(if self.0 == "plan" {
            "[not needs".into()
        } else {
            "{\"columns\":[],\"look_back_us\":null}".into()
        })
    }

    fn bind(&mut self, _input: ArrowSchema) -> R<()> {
        ROk(())
    }

    fn observe(&mut self, _batch: Batch, _deadline_ms: u64) -> R<()> {
        ROk(())
    }

    fn fit(&mut self) -> R<RawFitted> {
        ROk(RawFitted { report_json: "7".into(), state: RVec::new() })
    }

    fn evaluate(&mut self, _batch: Batch, _deadline_ms: u64) -> R<RawProcessed> {
        let out = if self.0 == "no-rows" { Batch::none() } else { lie(&self.0) };
        ROk(RawProcessed { out, rejects: Batch::none() })
    }

    fn explain(&mut self, _batch: Batch, _segment: u32) -> R<RString> {
        ROk("because".into())
    }

    fn close(&mut self) -> R<()> {
        ROk(())
    }
}

impl RawDestination for Liar {
    fn bind(&mut self, _input: ArrowSchema) -> R<()> {
        ROk(())
    }

    fn begin(&mut self, _delivery_json: RStr<'_>) -> R<()> {
        ROk(())
    }

    fn write(&mut self, _batch: Batch, _deadline_ms: u64) -> R<()> {
        ROk(())
    }

    fn flush(&mut self, _deadline_ms: u64) -> R<RawFlushed> {
        let rejects = if self.0 == "rejects" { vec![export(&rows())] } else { Vec::new() };
        ROk(RawFlushed { rows: 0, rejects: rejects.into(), receipts_json: "{receipts".into() })
    }

    fn close(&mut self) -> R<()> {
        ROk(())
    }
}
