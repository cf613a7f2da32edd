//! Buckets: which objects they hold.

use crate::{
    address::Address,
    entered::Version,
    options::StoreConfig,
    reach::{Readable, reach},
    refusal::fault,
    runtime::Runtime,
};
use kindred_plugin_api::{Context, Fault, Problem, Result};
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, list::PaginatedListOptions, path::Path};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// The buckets of one source, each opened once.
pub struct Stores {
    config: StoreConfig,
    context: Context,
    runtime: Option<Arc<Runtime>>,
    stores: BTreeMap<String, Arc<Store>>,
}

/// One bucket.
pub(crate) struct Store {
    root: String,
    /// The option that names it.
    at: String,
    service: Box<dyn Readable>,
    runtime: Arc<Runtime>,
}

/// One object as a listing told of it.
#[derive(Clone, Debug)]
pub struct Object {
    pub(crate) store: Arc<Store>,
    pub(crate) path: Path,
    /// Its whole address.
    pub name: String,
    /// Which it was.
    pub version: Version,
}

impl Stores {
    /// No bucket is opened yet.
    pub fn new(config: &StoreConfig, context: &Context) -> Self {
        Self { config: config.clone(), context: context.clone(), runtime: None, stores: BTreeMap::new() }
    }

    /// The object of exactly this key, if there is one.
    ///
    /// # Errors
    /// CONFIG when bucket, credentials or options are wrong, TRANSIENT when the service cannot be asked now.
    pub fn object(&mut self, address: &Address, at: &str) -> Result<Option<Object>> {
        let store = self.store(address, at)?;
        let path = Path::parse(&address.key).map_err(|error| {
            Fault::config(vec![Problem::new(at, format!("`{}` is no key: {error}", address.key))])
        })?;
        let name = format!("{}/{path}", store.root);
        match store.ask(&name, false, store.service.head(&path)) {
            Ok(meta) => Ok(Some(Object::new(&store, meta))),
            Err(fault) if fault.code == crate::GONE => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The objects that are not empty and whose keys begin with `prefix` and are `wanted`; not those behind a further
    /// slash unless it is `deep`.
    ///
    /// # Errors
    /// As [`Stores::object`]; PERMANENT for a bucket with keys that are no paths.
    pub fn list(
        &mut self,
        (address, at): (&Address, &str),
        prefix: &str,
        deep: bool,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Object>> {
        let store = self.store(address, at)?;
        let (mut found, mut page_token) = (Vec::new(), None);
        loop {
            let delimiter = (!deep).then(|| "/".into());
            let options = PaginatedListOptions { delimiter, page_token, ..Default::default() };
            let prefix = (!prefix.is_empty()).then_some(prefix);
            let page = store.ask(&store.root, true, store.service.list_paginated(prefix, options))?;
            // A folder that was made by hand is an object of no bytes.
            let objects = page.result.objects.into_iter();
            let objects = objects.filter(|meta| meta.size > 0 && wanted(meta.location.as_ref()));
            found.extend(objects.map(|meta| Object::new(&store, meta)));
            page_token = page.page_token;
            if page_token.is_none() {
                return Ok(found);
            }
        }
    }

    fn store(&mut self, address: &Address, at: &str) -> Result<Arc<Store>> {
        if let Some(store) = self.stores.get(&address.root) {
            return Ok(Arc::clone(store));
        }
        let runtime = match &self.runtime {
            Some(runtime) => Arc::clone(runtime),
            None => Arc::clone(self.runtime.insert(Arc::new(Runtime::new(&self.context)?))),
        };
        let service = reach(address, &self.config, &self.context)?;
        let store = Store { root: address.root.clone(), at: at.to_owned(), service, runtime };
        Ok(Arc::clone(self.stores.entry(address.root.clone()).or_insert(Arc::new(store))))
    }
}

impl Store {
    /// Waits for an answer about `name`.
    pub(crate) fn ask<T>(
        &self,
        name: &str,
        listing: bool,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let made = self.runtime.wait(async { Ok(work.await) })?;
        made.map_err(|error| fault(name, &self.root, &self.at, listing, &error))
    }

    /// What is read from.
    pub(crate) fn service(&self) -> &dyn ObjectStore {
        &*self.service
    }
}

impl Object {
    fn new(store: &Arc<Store>, meta: ObjectMeta) -> Self {
        let name = format!("{}/{}", store.root, meta.location);
        Self { store: Arc::clone(store), name, version: Version::of(&meta), path: meta.location }
    }

    /// Its key in the bucket.
    pub fn key(&self) -> &str {
        self.path.as_ref()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.root)
    }
}
