//! Snowplow trackers: `POST /com.snowplowanalytics.snowplow/tp2` (payload_data 1-0-4) and `GET /i`. Their parameters become
//! a call in Segment's form.
//!
//! <https://docs.snowplow.io/docs/sources/trackers/snowplow-tracker-protocol/>

use crate::{
    app::App,
    cookie::Reach,
    entities::Entities,
    envelope::Payload,
    inspect::{Flaw, JSON, SIZE, inspect},
    intake::Intake,
    peek::{self, PayloadData},
    pixel::gif,
    refusal::Refusal,
    segment::{received, refused, structure, text},
    visit::Visit,
};
use axum::{
    extract::{Extension, Request, State},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD, Engine};
use kindred_listening::Peer;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::{collections::BTreeMap, sync::Arc};

/// Takes a tracker's batch in.
pub(crate) async fn tp2(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    let (_, visit, bytes) = received(&app, peer, request).await?;
    let PayloadData { data: events } = structure(text(&bytes)?)?;
    if events.len() > app.limits.batch_events {
        return Err(refused(SIZE));
    }
    let aid = events.first().and_then(|event| serde_json::from_str::<Aid>(event.get()).ok()?.aid);
    let site = app.sites.without_key(aid.as_deref(), visit.origin.as_deref())?;
    site.accepts(visit.origin.as_deref())?;
    let _under_way = site.enter(visit.received_us)?;
    let mut intake = Intake::new(&app, &site, &visit, "tp2", true);
    for event in &events {
        let peeked = peek::event(event.get(), &app.limits);
        intake.add_peeked(peeked, None, |json| Payload::Snowplow { json });
    }
    Ok(intake.finish(Some(Reach::Site)).await?.answer((StatusCode::OK, "ok").into_response()))
}

/// Takes one event of a URL in, and answers with a point.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let visit = Visit::of(&app, peer, &uri, &headers);
    let site = app.sites.without_key(visit.query.get("aid"), visit.origin.as_deref())?;
    site.accepts(visit.origin.as_deref())?;
    let _under_way = site.enter(visit.received_us)?;
    let signals = ["gdpr", "gdpr_consent", "gpp", "gpp_sid", "us_privacy", "gcs"];
    let pairs = visit.query.0.iter().filter(|(key, _)| !signals.contains(&key.as_str()));
    let object: Map<_, _> = pairs.map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect();
    let json = Value::Object(object).to_string();
    let peeked = peek::event(&json, &app.limits).map_err(refused)?;
    let mut intake = Intake::new(&app, &site, &visit, "i", true);
    intake.add_peeked(Ok(peeked), None, |json| Payload::Snowplow { json });
    Ok(intake.finish(Some(Reach::Site)).await?.answer(gif()))
}

#[derive(Deserialize)]
struct Aid {
    aid: Option<String>,
}

#[derive(Deserialize)]
struct SelfDescribing<'a> {
    #[serde(borrow)]
    data: Described<'a>,
}

#[derive(Deserialize)]
struct Described<'a> {
    schema: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

const EVENT: Flaw = Flaw { code: "type", message: "the parameter `e` is none of pv, pp, se, ue, tr, ti" };
const DESCRIBED: Flaw = Flaw { code: "json", message: "the self-describing event cannot be read" };

/// A tracker's parameters as a call; what is decoded out of them may be nested so deeply.
///
/// # Errors
/// Why they are no event.
pub(crate) fn translate(json: &str, depth: usize) -> Result<String, Flaw> {
    let parameters: BTreeMap<String, &RawValue> = serde_json::from_str(json).map_err(|_| JSON)?;
    let get =
        |name: &str| parameters.get(name).and_then(|raw| peek::text(raw)).filter(|text| !text.is_empty());
    let mut properties = String::from("{");
    let mut put = |name: &str, from: &str| {
        if let Some(value) = get(from) {
            pair(&mut properties, name, &quoted(&value));
        }
    };
    let (kind, event) = match get("e").as_deref() {
        Some("pv") => ("page", None),
        Some("pp") => ("track", Some("page_ping".to_owned())),
        Some("se") => {
            let fields =
                [("category", "se_ca"), ("label", "se_la"), ("property", "se_pr"), ("value", "se_va")];
            fields.iter().for_each(|(name, from)| put(name, from));
            ("track", get("se_ac").map(|action| action.into_owned()))
        }
        Some("tr") => {
            let fields = [("order_id", "tr_id"), ("value", "tr_tt"), ("currency", "tr_cu")];
            fields.iter().for_each(|(name, from)| put(name, from));
            ("track", Some("transaction".to_owned()))
        }
        Some("ti") => {
            let fields = [("order_id", "ti_id"), ("sku", "ti_sk"), ("name", "ti_nm"), ("category", "ti_ca")];
            fields.iter().for_each(|(name, from)| put(name, from));
            [("price", "ti_pr"), ("quantity", "ti_qu"), ("currency", "ti_cu")]
                .iter()
                .for_each(|(n, f)| put(n, f));
            ("track", Some("transaction_item".to_owned()))
        }
        Some("ue") => {
            let plain = get("ue_pr").map(|text| text.into_owned());
            let described = plain.or_else(|| decoded(&get("ue_px")?)).ok_or(DESCRIBED)?;
            let (event, data) = self_described(&described, depth)?;
            properties = data;
            properties.truncate(properties.trim_end().len() - 1);
            ("track", Some(event))
        }
        _ => return Err(EVENT),
    };
    properties.push('}');
    let entities = get("co").map(|text| text.into_owned()).or_else(|| decoded(&get("cx")?));
    let entities = entities.map(|json| Entities::of(&json, depth)).unwrap_or_default();
    Ok(assembled(kind, event.as_deref(), &properties, entities, get))
}

/// The name of the event out of its schema, `iglu:com.acme/add_to_cart/jsonschema/1-0-0`, and its data, an object.
fn self_described(json: &str, depth: usize) -> Result<(String, String), Flaw> {
    // It was inside a string until now.
    inspect(json, depth)?;
    let described: SelfDescribing<'_> = serde_json::from_str(json).map_err(|_| DESCRIBED)?;
    let name = described.data.schema.strip_prefix("iglu:").and_then(|path| path.split('/').nth(1));
    let name = name.filter(|name| !name.is_empty()).ok_or(DESCRIBED)?.to_owned();
    let data = described.data.data.get();
    if data.starts_with('{') { Ok((name, data.to_owned())) } else { Err(DESCRIBED) }
}

fn decoded(text: &str) -> Option<String> {
    let text = text.trim_end_matches('=');
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(text));
    String::from_utf8(bytes.ok()?).ok()
}

fn assembled<'a>(
    kind: &str,
    event: Option<&str>,
    properties: &str,
    entities: Entities,
    get: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>,
) -> String {
    let mut call = String::from("{");
    pair(&mut call, "type", &quoted(kind));
    if let Some(event) = event {
        pair(&mut call, "event", &quoted(event));
    }
    let fields = [("messageId", "eid"), ("userId", "uid"), ("anonymousId", "duid"), ("sentAt", "stm")];
    for (name, from) in fields {
        if let Some(value) = get(from) {
            pair(&mut call, name, &quoted(&value));
        }
    }
    if let Some(value) = get("ttm").or_else(|| get("dtm")) {
        pair(&mut call, "timestamp", &quoted(&value));
    }
    let mut page = String::from("{");
    for (name, from) in [("url", "url"), ("title", "page"), ("referrer", "refr")] {
        if let Some(value) = get(from) {
            pair(&mut page, name, &quoted(&value));
        }
    }
    let mut context = format!("{{\"page\":{page}}}");
    for (name, from) in [("userAgent", "ua"), ("ip", "ip"), ("locale", "lang"), ("timezone", "tz")] {
        if let Some(value) = get(from) {
            pair(&mut context, name, &quoted(&value));
        }
    }
    if let Some(session) = get("sid").map(|id| id.into_owned()).or(entities.session) {
        pair(&mut context, "sessionId", &quoted(&session));
    }
    if let Some((kind, id)) = entities.device {
        let device = serde_json::json!({ "type": kind, "advertisingId": id });
        pair(&mut context, "device", &device.to_string());
    }
    pair(&mut call, "properties", properties);
    pair(&mut call, "context", &format!("{context}}}"));
    call.push('}');
    call
}

/// Adds a pair to an object that is not closed.
fn pair(object: &mut String, name: &str, json: &str) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(&quoted(name));
    object.push(':');
    object.push_str(json);
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(json: &str) -> Value {
        serde_json::from_str(&translate(json, 32).unwrap()).unwrap()
    }

    #[test]
    fn page_views_and_structured_events_become_calls() {
        let page = call(
            r#"{"e":"pv","eid":"7","duid":"d","uid":"u","dtm":"1767960000000","stm":"1767960001000",
                "url":"https://a/","page":"T","refr":"https://b/","ip":"203.0.113.0",
                "sid":"c6ef3124-b53a-4b13-a233-0088f79dcbcb","vid":"3"}"#,
        );
        assert_eq!(
            (&page["type"], &page["messageId"], &page["anonymousId"]),
            (&"page".into(), &"7".into(), &"d".into())
        );
        assert_eq!(page["context"]["page"]["url"], "https://a/");
        assert_eq!(page["context"]["sessionId"], "c6ef3124-b53a-4b13-a233-0088f79dcbcb");
        assert_eq!((&page["timestamp"], &page["sentAt"]), (&"1767960000000".into(), &"1767960001000".into()));
        let event = call(r#"{"e":"se","se_ca":"shop","se_ac":"add","se_la":"x\"y","se_va":"3.5"}"#);
        assert_eq!((&event["event"], &event["properties"]["label"]), (&"add".into(), &"x\"y".into()));
    }

    #[test]
    fn self_describing_events_keep_their_data_exactly() {
        let data = r#"{"schema":"iglu:s/unstruct_event/jsonschema/1-0-0","data":{"schema":"iglu:com.acme/add_to_cart/jsonschema/1-0-0","data":{"sku":9007199254740993}}}"#;
        let packed = BASE64_URL_SAFE_NO_PAD.encode(data);
        for json in [
            format!(r#"{{"e":"ue","ue_px":"{packed}"}}"#),
            format!(r#"{{"e":"ue","ue_pr":{}}}"#, quoted(data)),
        ] {
            let text = translate(&json, 32).unwrap();
            assert!(
                text.contains(r#""event":"add_to_cart","properties":{"sku":9007199254740993}"#),
                "{text}"
            );
        }
        let empty = data.replace("{\"sku\":9007199254740993}", "{}");
        assert_eq!(
            call(&format!(r#"{{"e":"ue","ue_pr":{}}}"#, quoted(&empty)))["properties"],
            serde_json::json!({})
        );
    }

    #[test]
    fn entities_of_apps_are_read_packed_and_plain_and_lose_no_event() {
        let id = "6d92078a-8246-4ba4-ae5b-76104861e7dc";
        let contexts = format!(
            r#"{{"schema":"iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1","data":[
                {{"schema":"iglu:com.snowplowanalytics.snowplow/mobile_context/jsonschema/1-0-3","data":{{"osType":"android","osVersion":"14",
                "deviceManufacturer":"Google","deviceModel":"Pixel 8","androidIdfa":"{id}"}}}},
                {{"schema":"iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2","data":{{"userId":"u","sessionId":"s-1"}}}}]}}"#
        );
        let plain = format!(r#""co":{}"#, quoted(&contexts));
        let packed = format!(r#""cx":"{}""#, BASE64_URL_SAFE_NO_PAD.encode(&contexts));
        let context = |more: &str| call(&format!(r#"{{"e":"pv",{more}}}"#))["context"].clone();
        for entities in [&plain, &packed] {
            let context = context(entities);
            assert_eq!(context["device"], serde_json::json!({ "type": "android", "advertisingId": id }));
            assert_eq!(context["sessionId"], "s-1");
        }
        assert_eq!(context(&format!(r#"{plain},"sid":"own""#))["sessionId"], "own");
        let deep = format!("{}{}", "[".repeat(99), "]".repeat(99));
        for broken in
            [r#""cx":"%%%""#, r#""cx":"eyJ""#, r#""co":"{""#, r#""co":7"#, &format!(r#""co":"{deep}""#)]
        {
            assert_eq!(context(broken), serde_json::json!({ "page": {} }), "{broken}");
        }
    }

    #[test]
    fn what_is_no_event_is_told() {
        assert_eq!(translate(r#"{"e":"xx"}"#, 32), Err(EVENT));
        assert_eq!(translate(r#"{"e":"ue","ue_px":"%%%"}"#, 32), Err(DESCRIBED));
        let deep =
            format!(r#"{{"data":{{"schema":"iglu:a/b/c/1","data":{}{}}}}}"#, "[".repeat(99), "]".repeat(99));
        let json = format!(r#"{{"e":"ue","ue_pr":{}}}"#, quoted(&deep));
        assert_eq!(translate(&json, 32), Err(crate::inspect::DEPTH));
        assert_eq!(translate(&json, 128), Err(DESCRIBED), "as deep as the option allows, and a list");
    }
}
