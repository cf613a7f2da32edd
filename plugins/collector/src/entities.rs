//! What Snowplow's trackers in apps attach to an event: of its entities the advertising id and the session.
//!
//! The schemas are `iglu:com.snowplowanalytics.snowplow/mobile_context/jsonschema/1-0-3` and `…/client_session/jsonschema/1-0-2`,
//! <https://github.com/snowplow/iglu-central/tree/master/schemas/com.snowplowanalytics.snowplow>.

use crate::{call::is_advertising_id, inspect::inspect, peek::text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What was found; an entity that cannot be read is passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Entities {
    /// Type of the device, as `context.device` names it, and its advertising id.
    pub(crate) device: Option<(&'static str, String)>,
    pub(crate) session: Option<String>,
}

#[derive(Deserialize)]
struct Contexts<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entity<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Mobile<'a> {
    #[serde(borrow, rename = "appleIdfa")]
    apple: Option<&'a RawValue>,
    #[serde(borrow, rename = "androidIdfa")]
    android: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Session<'a> {
    #[serde(borrow, rename = "sessionId")]
    id: Option<&'a RawValue>,
}

impl Entities {
    /// Reads the entities of an event, which may be nested as deeply as an event. They were inside a string until now;
    /// that made them longer, so they are within the bound for an event's size.
    pub(crate) fn of(json: &str, depth: usize) -> Self {
        let mut found = Self::default();
        if inspect(json, depth).is_err() {
            return found;
        }
        let contexts = serde_json::from_str::<Contexts<'_>>(json).ok();
        for entity in contexts.into_iter().flat_map(|contexts| contexts.data) {
            let Some(Entity { schema, data }) = object(entity) else { continue };
            match name(&schema) {
                Some("mobile_context") if found.device.is_none() => found.device = device(data),
                Some("client_session") if found.session.is_none() => found.session = session(data),
                _ => {}
            }
        }
        found
    }
}

/// The name in the schema of one of Snowplow's own entities, in the version that is known.
fn name(schema: &str) -> Option<&str> {
    let (name, version) = schema.strip_prefix("iglu:com.snowplowanalytics.snowplow/")?.split_once('/')?;
    version.starts_with("jsonschema/1-").then_some(name)
}

fn device(data: &RawValue) -> Option<(&'static str, String)> {
    let Mobile { apple, android } = object(data)?;
    // Which of them it is says more than `osType`, which is `tvos` or `ios` or what an app makes of it.
    [("ios", apple), ("android", android)].into_iter().find_map(|(kind, id)| {
        let id = text(id?).filter(|id| is_advertising_id(id))?;
        Some((kind, id.into_owned()))
    })
}

fn session(data: &RawValue) -> Option<String> {
    let id = text(object::<Session<'_>>(data)?.id?)?.into_owned();
    (!id.is_empty()).then_some(id)
}

/// The parts of an object; a list is none, though it could be read as the values of one.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    let json = raw.get();
    if json.starts_with('{') { serde_json::from_str(json).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ID: &str = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
    const SESSION: &str = "2c356a26-2d0b-4c2e-9d4c-4ab0f2b4ec2a";

    /// As trackers send it.
    fn mobile(more: Value) -> Value {
        let mut data = json!({
            "osType": "ios", "osVersion": "17.4", "deviceManufacturer": "Apple Inc.", "deviceModel": "iPhone15,2",
            "carrier": null, "networkType": "wifi", "openIdfa": null, "batteryLevel": 20, "isPortrait": true,
        });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "schema": "iglu:com.snowplowanalytics.snowplow/mobile_context/jsonschema/1-0-3", "data": data })
    }

    fn client_session() -> Value {
        json!({
            "schema": "iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2",
            "data": {
                "userId": "fd0e5288-e89b-45df-aad5-6d0c6eda6198", "sessionId": SESSION, "sessionIndex": 3,
                "eventIndex": 7, "previousSessionId": null, "storageMechanism": "LOCAL_STORAGE",
                "firstEventId": "4f1c7e2a-9a57-4a9b-8a52-1d3c1f8f9b0e", "firstEventTimestamp": "2026-01-09T12:00:00.000Z",
            },
        })
    }

    fn contexts(data: &[Value]) -> String {
        let schema = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1";
        json!({ "schema": schema, "data": data }).to_string()
    }

    fn found(data: &[Value]) -> Entities {
        Entities::of(&contexts(data), 32)
    }

    #[test]
    fn advertising_ids_and_the_session_are_found_among_other_entities() {
        let page =
            json!({ "schema": "iglu:com.example/shop/jsonschema/1-0-0", "data": { "appleIdfa": "x" } });
        let apple = mobile(json!({ "appleIdfa": ID, "appleIdfv": SESSION, "androidIdfa": null }));
        let entities = found(&[page.clone(), client_session(), apple]);
        assert_eq!(entities.device, Some(("ios", ID.to_owned())));
        assert_eq!(entities.session.as_deref(), Some(SESSION));
        let android = found(&[page, mobile(json!({ "osType": "android", "androidIdfa": ID }))]);
        assert_eq!(android, Entities { device: Some(("android", ID.to_owned())), session: None });
    }

    #[test]
    fn what_is_no_id_or_not_theirs_is_passed_over() {
        let nobody = "00000000-0000-0000-0000-000000000000";
        for more in [
            json!({}),
            json!({ "appleIdfa": "" }),
            json!({ "appleIdfa": nobody }),
            json!({ "appleIdfa": "anna@example.com" }),
            json!({ "appleIdfa": { "id": ID } }),
            json!({ "appleIdfv": ID, "openIdfa": ID, "appSetId": ID }),
        ] {
            assert_eq!(found(&[mobile(more.clone())]).device, None, "{more}");
        }
        let mut other = mobile(json!({ "appleIdfa": ID }));
        for schema in [
            json!("iglu:com.example/mobile_context/jsonschema/1-0-3"),
            json!("iglu:com.snowplowanalytics.snowplow/mobile_context/jsonschema/2-0-0"),
            json!("mobile_context"),
            json!(7),
        ] {
            other["schema"] = schema;
            assert_eq!(found(std::slice::from_ref(&other)), Entities::default(), "{other}");
        }
        let mut list = mobile(json!({}));
        list["data"] = json!([ID, ID]);
        // One that cannot be read hides no other.
        let entities =
            found(&[json!("?"), json!(null), list, client_session(), mobile(json!({ "androidIdfa": ID }))]);
        assert_eq!(entities.device, Some(("android", ID.to_owned())));
        assert_eq!(entities.session.as_deref(), Some(SESSION));
    }

    #[test]
    fn they_may_be_as_deep_as_an_event_and_hold_what_it_may() {
        let id = json!({ "androidIdfa": ID });
        let deep = |levels: usize| {
            let nested = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            let entity = mobile(id.clone()).to_string();
            format!(r#"{{"data":[{entity},{nested}]}}"#)
        };
        assert!(Entities::of(&deep(30), 32).device.is_some());
        assert_eq!(Entities::of(&deep(31), 32), Entities::default());
        assert_eq!(Entities::of(&deep(100_000), 32), Entities::default());
        for word in ["\\u0000", "\\ud800"] {
            let json = contexts(&[mobile(id.clone())]).replace("Apple Inc.", word);
            assert_eq!(Entities::of(&json, 32), Entities::default(), "{word}");
        }
    }

    proptest! {
        /// Whatever is cut off, or put in the place of a byte, nothing is found that was not there.
        #[test]
        fn broken_entities_give_nothing_or_an_id(at in 0_usize..600, byte in 0x20_u8..0x7f, cut in any::<bool>()) {
            let mut bytes = contexts(&[client_session(), mobile(json!({ "appleIdfa": ID }))]).into_bytes();
            let at = at.min(bytes.len() - 1);
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let entities = Entities::of(&String::from_utf8(bytes).unwrap(), 32);
            prop_assert!(!cut || entities == Entities::default());
            prop_assert!(entities.device.is_none_or(|(_, id)| is_advertising_id(&id)));
        }
    }
}
