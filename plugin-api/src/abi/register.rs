//! From a type that implements one of the four traits to an entry of the registry, and from the registry to a
//! library's entry symbol.

use super::{
    doors,
    guard::guard,
    raw::{
        DestinationBox, EnrichmentBox, OpenArgs, Plugin, PluginRef, Root, RootRef, SegmentationBox,
        SourceBox, R,
    },
};
use crate::{
    manifest::{Section, ROOM},
    options, Context, Destination, Enrichment, Facts, Fault, Kind, Problem, Segmentation, Source,
};
use abi_stable::{
    prefix_type::PrefixTypeTrait,
    std_types::{
        ROption::{RNone, RSome},
        RStr, RString, RVec,
    },
};

/// One entry of the registry, collected with inventory.
pub struct Registered(pub fn() -> PluginRef);
inventory::collect!(Registered);

/// Every plugin linked into this binary or library, by name.
pub fn registered() -> Vec<PluginRef> {
    inventory::iter::<Registered>.into_iter().map(|r| (r.0)()).collect()
}

fn facts(problems: Vec<Problem>, facts: Facts) -> crate::Result<RString> {
    if !problems.is_empty() {
        return Err(Fault::config(problems));
    }
    Ok(serde_json::json!(facts).to_string().into())
}

macro_rules! entry {
    ($entry:ident, $bound:ident, $kind:expr, $facts:expr, $check:expr,
     $source:expr, $enrichment:expr, $segmentation:expr, $destination:expr) => {
        /// The boundary's view of `T`.
        pub fn $entry<T: $bound>() -> PluginRef {
            extern "C" fn manifest<T: $bound>() -> RString {
                Section::<ROOM>::new().plugin(&T::MANIFEST, $kind).to_text().into()
            }
            extern "C" fn config_schema<T: $bound>() -> RString {
                options::schema::<T::Config>().into()
            }
            extern "C" fn validate<T: $bound>(json: RStr<'_>) -> R<RString> {
                guard(|| {
                    let config = options::parse::<T::Config>(json.as_str())?;
                    facts(T::validate(&config), $facts(&config))
                })
            }
            #[allow(
                clippy::extra_unused_type_parameters,
                reason = "a segmentation has nothing outside to check"
            )]
            extern "C" fn check<T: $bound>(args: OpenArgs) -> R<()> {
                guard(|| $check(args))
            }
            Plugin {
                manifest: manifest::<T>,
                config_schema: config_schema::<T>,
                validate: validate::<T>,
                check: check::<T>,
                open_source: $source,
                open_enrichment: $enrichment,
                open_segmentation: $segmentation,
                open_destination: $destination,
            }
            .leak_into_prefix()
        }
    };
}

fn reach<C: serde::de::DeserializeOwned>(
    args: OpenArgs,
    check: fn(&C, &Context) -> crate::Result<()>,
) -> crate::Result<()> {
    let config = options::parse(args.config_json.as_str())?;
    check(&config, &Context::new(args))
}

extern "C" fn source_door<T: Source>(args: OpenArgs) -> R<SourceBox> {
    doors::open_source::<T>(args)
}
extern "C" fn enrichment_door<T: Enrichment>(args: OpenArgs) -> R<EnrichmentBox> {
    doors::open_enrichment::<T>(args)
}
extern "C" fn segmentation_door<T: Segmentation>(args: OpenArgs) -> R<SegmentationBox> {
    doors::open_segmentation::<T>(args)
}
extern "C" fn destination_door<T: Destination>(args: OpenArgs) -> R<DestinationBox> {
    doors::open_destination::<T>(args)
}

entry!(
    source,
    Source,
    Kind::Source,
    |_: &T::Config| Facts::default(),
    |args| reach(args, T::check),
    RSome(source_door::<T>),
    RNone,
    RNone,
    RNone
);
entry!(
    enrichment,
    Enrichment,
    Kind::Enrichment,
    |_: &T::Config| Facts::default(),
    |args| reach(args, T::check),
    RNone,
    RSome(enrichment_door::<T>),
    RNone,
    RNone
);
entry!(
    segmentation,
    Segmentation,
    Kind::Segmentation,
    T::facts,
    |_: OpenArgs| Ok(()),
    RNone,
    RNone,
    RSome(segmentation_door::<T>),
    RNone
);
entry!(
    destination,
    Destination,
    Kind::Destination,
    |_: &T::Config| Facts::default(),
    |args| reach(args, T::check),
    RNone,
    RNone,
    RNone,
    RSome(destination_door::<T>)
);

/// The root of a library: every plugin of its registry.
pub fn root() -> RootRef {
    extern "C" fn plugins() -> RVec<PluginRef> {
        registered().into()
    }
    Root { unwinds: cfg!(panic = "unwind"), plugins }.leak_into_prefix()
}

/// Registers a type as a plugin: `register!(source Cookies);`, in the crate that implements it.
#[macro_export]
macro_rules! register {
    ($kind:ident $plugin:ty) => {
        $crate::inventory::submit! {
            $crate::abi::Registered(|| $crate::abi::register::$kind::<$plugin>())
        }
    };
}

/// Exports the plugins of a dynamic library; once, in a crate of type `cdylib` that nothing else depends on:
/// `export!(source acme::Acme, destination acme::Out);`.
#[macro_export]
macro_rules! export {
    ($($kind:ident $plugin:ty),+ $(,)?) => {
        const _: () = {
            use $crate::abi::abi_stable::library as abi;
            type Module = $crate::abi::raw::RootRef;
            extern "C" fn erased() -> abi::RootModuleResult {
                abi::__call_root_module_loader($crate::abi::register::root)
            }
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static ENTRY: abi::LibHeader =
                // SAFETY: `erased` returns the module type whose layout is recorded.
                unsafe { abi::LibHeader::from_constructor::<Module>(erased, abi::CheckTypeLayout::Yes) };

            const COUNT: usize = [$(stringify!($plugin)),+].len();
            #[used]
            #[unsafe(link_section = ".kindred_manifest")]
            static MANIFEST: [u8; COUNT * $crate::manifest::ROOM] =
                $crate::manifest::Section::new()
                    $(.plugin(&$crate::export!(@manifest $kind $plugin), $crate::export!(@kind $kind)))+
                    .bytes();
        };
    };
    (@manifest source $plugin:ty) => { <$plugin as $crate::Source>::MANIFEST };
    (@manifest enrichment $plugin:ty) => { <$plugin as $crate::Enrichment>::MANIFEST };
    (@manifest segmentation $plugin:ty) => { <$plugin as $crate::Segmentation>::MANIFEST };
    (@manifest destination $plugin:ty) => { <$plugin as $crate::Destination>::MANIFEST };
    (@kind source) => { $crate::Kind::Source };
    (@kind enrichment) => { $crate::Kind::Enrichment };
    (@kind segmentation) => { $crate::Kind::Segmentation };
    (@kind destination) => { $crate::Kind::Destination };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_entry_symbol_is_abi_stables() {
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, "_1as_0lib_1header_0root_bmodule_bloader");
    }
}
