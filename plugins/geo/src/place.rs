//! Where an address is: shortened first, then looked up in a MaxMind DB file.

use maxminddb::{MaxMindDbError, Reader, geoip2};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// A file, read whole.
pub(crate) type Database = Reader<Vec<u8>>;

/// What a file says of an address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// ISO 3166-1: `GB`.
    pub(crate) country: Option<String>,
    /// ISO 3166-2: `GB-ENG`.
    pub(crate) region: Option<String>,
    /// In English.
    pub(crate) city: Option<String>,
    /// Of the time zone database: `Europe/London`.
    pub(crate) timezone: Option<String>,
}

/// Opens a file, or gives the one that another source has open: they are large.
pub(crate) fn open(path: &Path) -> Result<Arc<Database>, MaxMindDbError> {
    static OPEN: Mutex<Option<HashMap<PathBuf, Weak<Database>>>> = Mutex::new(None);
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    if let Some(database) = open.get(path).and_then(Weak::upgrade) {
        return Ok(database);
    }
    let database = Arc::new(Reader::open_readfile(path)?);
    open.insert(path.to_owned(), Arc::downgrade(&database));
    Ok(database)
}

/// The network of an address, written as its first address: /24 of IPv4, /48 of IPv6. None where it is no address.
pub(crate) fn shortened(text: &str) -> Option<IpAddr> {
    Some(match text.trim().parse::<IpAddr>().ok()?.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & (!0 << (32 - 24))).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (!0 << (128 - 48))).into(),
    })
}

/// Looks up a shortened address; one that the file does not know is nowhere.
pub(crate) fn find(database: &Database, ip: IpAddr) -> Result<Place, MaxMindDbError> {
    if ip.is_ipv6() && database.metadata().ip_version == 4 {
        return Ok(Place::default());
    }
    let found: geoip2::City<'_> = database.lookup(ip)?.decode()?.unwrap_or_default();
    let part = found.subdivisions.first().and_then(|largest| largest.iso_code);
    Ok(Place {
        country: found.country.iso_code.map(str::to_owned),
        region: found.country.iso_code.zip(part).map(|(country, part)| format!("{country}-{part}")),
        city: found.city.names.english.map(str::to_owned),
        timezone: found.location.time_zone.map(str::to_owned),
    })
}
