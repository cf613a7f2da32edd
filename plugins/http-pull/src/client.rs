//! Requests: which address, not too often, and what an answer's status means.

use crate::{
    answer::Answer,
    options::{Config, Paging},
    place::{Page, Place},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use kindred_plugin_api::{Context, Fault, FaultKind, Problem, Result};
use std::time::{Duration, Instant};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
};
use url::Url;

/// The largest answer that is taken.
const BODY: u64 = 32 << 20;
/// Shortest and longest wait that a server may ask for.
const RETRY: std::ops::RangeInclusive<u64> = 1..=60;

/// Asks for pages.
pub(crate) struct Pages {
    agent: Agent,
    base: Url,
    headers: Vec<(String, String)>,
    /// Earliest moment of the next request.
    free_at: Option<Instant>,
}

impl Pages {
    /// Makes ready; asks nothing yet.
    ///
    /// # Errors
    /// CONFIG for an address that is none.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(config.timeout_s.into())))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent("kindred")
            .build()
            .new_agent();
        let base = Url::parse(&config.url)
            .map_err(|_| Fault::config(vec![Problem::new("/url", "this is no address")]))?;
        let mut headers: Vec<(String, String)> = config.headers.clone().into_iter().collect();
        let login = match (&config.bearer, &config.user, &config.password) {
            (Some(token), ..) => Some(format!("Bearer {token}")),
            (_, Some(user), Some(password)) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            _ => None,
        };
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept")) {
            headers.push(("accept".to_owned(), "application/json".to_owned()));
        }
        headers.extend(login.map(|login| ("authorization".to_owned(), login)));
        Ok(Self { agent, base, headers, free_at: None })
    }

    /// Host and path, as messages and rejects say them: parameters may hold secrets.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.base.host_str().unwrap_or_default(), self.base.path())
    }

    /// The page at a place, and the page behind it, if there is one.
    ///
    /// # Errors
    /// TRANSIENT when the server does not answer, is busy or fails; CONFIG when it refuses who asks; PERMANENT for an
    /// answer that cannot be used and for a page that lies elsewhere.
    pub(crate) fn ask(
        &mut self,
        config: &Config,
        place: &Place,
        context: &Context,
    ) -> Result<(Answer, Option<Page>)> {
        let address = self.address(config, place)?;
        self.wait(config, context)?;
        let mut request = self.agent.get(address.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = request.call().map_err(|error| self.lost(&error))?;
        self.usable(&response)?;
        let read = response.body_mut().with_config().limit(BODY).read_to_vec();
        let answer = Answer::read(config, &read.map_err(|error| self.lost(&error))?)?;
        let next = self.next(config, place, &answer, &response, &address)?;
        Ok((answer, next))
    }

    fn address(&self, config: &Config, place: &Place) -> Result<Url> {
        if let Page::Url(url) = &place.page {
            return self.allowed(config, &self.base, url);
        }
        let mut url = self.base.clone();
        let mut parameters = Vec::new();
        if let (Some(cursor), Some(value)) = (&config.cursor, &place.cursor) {
            parameters.push((cursor.parameter.as_str(), value.clone()));
        }
        if let Some(Paging { parameter: Some(parameter), by, .. }) = &config.paging {
            let start = config.paging.as_ref().map_or(0, Paging::start);
            match &place.page {
                Page::Token(token) => parameters.push((parameter, token.clone())),
                Page::Number(number) => parameters.push((parameter, number.to_string())),
                Page::First if by.is_some() => parameters.push((parameter, start.to_string())),
                _ => {}
            }
        }
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        Ok(url)
    }

    /// An address that an answer gave, which must lie where the options allow: what is inside the network of this machine
    /// must not be asked for because a server says so.
    fn allowed(&self, config: &Config, from: &Url, given: &str) -> Result<Url> {
        let refused =
            |why: &str| Fault::permanent("elsewhere", format!("`{}`: the next page {why}", self.name()));
        let url = from.join(given).map_err(|_| refused("has no address"))?;
        let others = config.origins.iter().filter_map(|origin| Url::parse(origin).ok());
        let there =
            std::iter::once(self.base.clone()).chain(others).any(|origin| origin.origin() == url.origin());
        if !there || !url.username().is_empty() || url.password().is_some() {
            let host = url.host_str().unwrap_or("no host").to_owned();
            return Err(refused(&format!("is at another origin, of host `{host}`; `origins` may allow it")));
        }
        Ok(url)
    }

    fn next(
        &self,
        config: &Config,
        place: &Place,
        answer: &Answer,
        response: &Response<Body>,
        address: &Url,
    ) -> Result<Option<Page>> {
        let Some(paging) = &config.paging else { return Ok(None) };
        let count = answer.records.len() as u64;
        let next = if paging.link {
            let headers = response.headers().get_all(header::LINK).iter();
            headers.filter_map(|value| link(value.to_str().ok()?)).next().map(Page::Url)
        } else if let Some(by) = paging.by {
            let number = if let Page::Number(number) = place.page { number } else { paging.start() };
            let step = if by == crate::options::By::Page { 1 } else { count };
            let more = count > 0 && paging.size.is_none_or(|size| count >= size);
            more.then(|| Page::Number(number.saturating_add(step)))
        } else {
            let page = |next: &String| {
                if paging.parameter.is_some() { Page::Token(next.clone()) } else { Page::Url(next.clone()) }
            };
            answer.next.as_ref().map(page)
        };
        let next = match next {
            Some(Page::Url(url)) => Some(Page::Url(self.allowed(config, address, &url)?.into())),
            next => next,
        };
        let again = matches!(&next, Some(Page::Url(url)) if url == address.as_str());
        if again || next.as_ref() == Some(&place.page) {
            let message = format!("`{}`: a page says that it is its own next page", self.name());
            return Err(Fault::permanent("endless", message));
        }
        Ok(next)
    }

    fn wait(&mut self, config: &Config, context: &Context) -> Result<()> {
        let Some(rate) = config.requests_per_second else { return Ok(()) };
        let left = self.free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        if !left.is_zero() && context.sleep_ms(u64::try_from(left.as_millis()).unwrap_or(u64::MAX) + 1) {
            return Err(Fault::new(FaultKind::Cancelled, "cancelled", "the host wants to stop"));
        }
        self.free_at = Some(Instant::now() + Duration::from_secs_f64(1.0 / rate));
        Ok(())
    }

    fn usable(&self, response: &Response<Body>) -> Result<()> {
        let status = response.status();
        let says = format!("`{}` answers {status}", self.name());
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let asked = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                let seconds =
                    asked.and_then(seconds).map_or(0, |seconds| seconds.clamp(*RETRY.start(), *RETRY.end()));
                Err(Fault { retry_after_ms: seconds * 1000, ..Fault::transient("busy", says) })
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let help = "look at `bearer`, `user` or `headers`";
                Err(Fault::config(vec![Problem::new("", says).help(help)]))
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => Err(Fault::config(vec![Problem::new("/url", says)])),
            StatusCode::REQUEST_TIMEOUT => Err(Fault::transient("status", says)),
            status if status.is_server_error() => Err(Fault::transient("status", says)),
            status if status.is_redirection() => Err(Fault::permanent(
                "redirect",
                format!("{says}; no redirect is followed, name the address itself"),
            )),
            StatusCode::OK => Ok(()),
            _ => Err(Fault::permanent("status", says)),
        }
    }

    /// A failed request; the words of the library hold no address.
    fn lost(&self, error: &ureq::Error) -> Fault {
        let name = self.name();
        match error {
            ureq::Error::BodyExceedsLimit(_) => Fault::permanent(
                "too-large",
                format!("`{name}`: an answer is larger than {} MiB", BODY >> 20),
            ),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Fault::permanent("request", format!("`{name}`: the request cannot be made"))
            }
            error => Fault::transient("request", format!("`{name}` cannot be read now: {error}")),
        }
    }
}

/// The address of `rel="next"` in a header `Link` (RFC 8288, section 3).
fn link(header: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (address, after) = after.split_once('>')?;
        // A comma ends the parameters, except within quotes.
        let mut quoted = false;
        let end = after.find(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        let (parameters, others) = after.split_at(end.unwrap_or(after.len()));
        let next = |parameter: &str| {
            parameter.split_once('=').is_some_and(|(name, value)| {
                let mut words = value.trim().trim_matches('"').split_ascii_whitespace();
                name.trim().eq_ignore_ascii_case("rel") && words.any(|word| word.eq_ignore_ascii_case("next"))
            })
        };
        if parameters.split(';').any(next) {
            return Some(address.trim().to_owned());
        }
        rest = others;
    }
}

/// Seconds of a header `Retry-After` (RFC 9110, section 10.2.3): a number, or a date.
fn seconds(value: &str) -> Option<u64> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(seconds);
    }
    let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(u64::try_from(at.duration_since(jiff::Timestamp::now()).as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_among_others() {
        let header =
            r#"<https://a.example/?p=1>; rel="prev"; title="a, <b>", </?p=3>; title=x; REL="last next""#;
        assert_eq!(link(header).as_deref(), Some("/?p=3"));
        for none in ["", "<a>; rel=prev", "rel=next", "<a; rel=next", "<a>; x=\"rel=next\""] {
            assert_eq!(link(none), None, "{none}");
        }
    }

    #[test]
    fn waits_are_seconds_or_dates() {
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert!(seconds("Tue, 31 Dec 2999 23:59:59 GMT").is_some_and(|seconds| seconds > 1_000_000));
        assert_eq!(seconds("soon"), None);
    }
}
