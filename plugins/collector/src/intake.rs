//! From events to the spool: consent decides on each, what may be stored is appended as one record, and the answer waits
//! until that is durable.

use crate::{
    acks,
    app::App,
    cookie::Reach,
    counters::add,
    envelope::{Envelope, Item, Payload},
    inspect::Flaw,
    peek::Peeked,
    refusal::Refusal,
    sites::Site,
    visit::{Said, Visit},
};
use axum::{http::HeaderValue, http::header::SET_COOKIE, response::Response};
use kindred_signals::Consent;
use std::{borrow::Cow, sync::Arc};

/// The version of a consent that no signal was read for.
const SILENCE: &str = "none";

/// Events of one request on their way.
pub(crate) struct Intake<'a> {
    app: &'a App,
    site: &'a Site,
    visit: &'a Visit,
    envelope: Envelope<'a>,
    /// The signals that the last consent was decided on, which most events of a batch share.
    last: Option<(Option<Said>, Consent)>,
    denied: usize,
    flawed: usize,
    /// Events that may be stored.
    kept: usize,
}

/// What became of a request.
pub(crate) struct Taken {
    /// Sets the id cookie.
    pub(crate) cookie: Option<HeaderValue>,
    /// Consent allowed to store something.
    pub(crate) collected: bool,
}

impl<'a> Intake<'a> {
    /// No events yet. `visitor` says that the client is the visitor, so that address, agent and cookie are theirs.
    pub(crate) fn new(
        app: &'a App,
        site: &'a Arc<Site>,
        visit: &'a Visit,
        endpoint: &'static str,
        visitor: bool,
    ) -> Self {
        let envelope = Envelope {
            received_us: visit.received_us,
            endpoint: endpoint.into(),
            site: site.name.as_str().into(),
            ip: visitor.then(|| visit.ip.as_str().into()),
            agent: visit.agent.as_deref().filter(|_| visitor).map(Cow::Borrowed),
            cookie: visit.id.as_deref().filter(|_| visitor).map(Cow::Borrowed),
            sent_at: None,
            context: None,
            consents: Vec::new(),
            items: Vec::new(),
        };
        Self { app, site, visit, envelope, last: None, denied: 0, flawed: 0, kept: 0 }
    }

    /// What holds for all events of the request.
    pub(crate) fn shared(&mut self, context: Option<Cow<'a, str>>, sent_at: Option<Cow<'a, str>>) {
        self.envelope.context = context;
        self.envelope.sent_at = sent_at;
    }

    /// Adds an event, unless its visitor has not consented to its collection: then only that is told of a visitor who may
    /// be known, because consent may be withdrawn (GDPR, article 7, 3).
    pub(crate) fn add(&mut self, said: Option<Said>, payload: Payload<'a>) -> Consent {
        let known = self.last.take().filter(|(last, _)| *last == said);
        let (said, consent) = known.unwrap_or_else(|| {
            let all = match &said {
                Some(own) => own.clone().or(&self.visit.said),
                None => self.visit.said.clone(),
            };
            (said, all.decide(&self.site.policy))
        });
        if consent.collect {
            self.kept += 1;
            self.push(&consent, payload);
        } else {
            self.denied += 1;
            // Who says nothing takes nothing back; a status says something where there is no other signal, too.
            let speaks = consent.version != SILENCE || said.as_ref().is_some_and(|own| own.status.is_some());
            if let Some(who) = payload.denied(self.envelope.cookie.is_some()).filter(|_| speaks) {
                let last = self.envelope.items.last().map(|item| &item.payload);
                // Most events of a batch are of one visitor.
                if last != Some(&who) {
                    self.push(&consent, who);
                }
            }
        }
        self.last = Some((said, consent.clone()));
        consent
    }

    fn push(&mut self, consent: &Consent, payload: Payload<'a>) {
        let consents = &mut self.envelope.consents;
        let same = |(text, version): &(Cow<'_, str>, Cow<'_, str>)| {
            *text == consent.text() && *version == consent.version
        };
        let index = consents.iter().rposition(same).unwrap_or_else(|| {
            consents.push((consent.text().into(), consent.version.clone().into()));
            consents.len() - 1
        });
        self.envelope.items.push(Item { consent: u32::try_from(index).unwrap_or(0), payload });
    }

    /// Adds an event that was looked at; one that may not be stored becomes a reject without its text.
    pub(crate) fn add_peeked(
        &mut self,
        peeked: Result<Peeked<'a>, Flaw>,
        common: Option<&Said>,
        payload: impl FnOnce(Cow<'a, str>) -> Payload<'a>,
    ) {
        match peeked {
            Ok(Peeked { json, said }) => {
                let said = match (said, common) {
                    (Some(said), Some(common)) => Some(said.or(common)),
                    (said, common) => said.or_else(|| common.cloned()),
                };
                self.add(said, payload(json));
            }
            Err(flaw) => self.flaw(flaw),
        }
    }

    fn flaw(&mut self, flaw: Flaw) {
        self.flawed += 1;
        let payload = Payload::Bad { code: flaw.code.into(), message: flaw.message.into() };
        self.envelope.items.push(Item { consent: 0, payload });
    }

    /// Appends what there is and waits until it is durable. `reach` allows to set the id cookie where there is none.
    ///
    /// # Errors
    /// 503 when it cannot be stored.
    pub(crate) async fn finish(mut self, reach: Option<Reach>) -> Result<Taken, Refusal> {
        add(&self.app.counters.denied, self.denied);
        let mut taken = Taken { cookie: None, collected: self.kept > 0 };
        if self.envelope.items.is_empty() {
            return Ok(taken);
        }
        if let (Some(reach), Some(cookies), None, true) =
            (reach, &self.app.cookies, &self.envelope.cookie, self.kept > 0)
        {
            let id = cookies.make().ok_or(Refusal::unavailable())?;
            let domain = self.site.cookie_domain.as_deref().filter(|_| reach == Reach::Site);
            taken.cookie = cookies.set(&id, reach, domain);
            self.envelope.cookie = Some(id.into());
        }
        // Without anything kept, all there is are denials.
        if let (Some(reach), Some(cookies), Some(_), 0) =
            (reach, &self.app.cookies, &self.visit.id, self.kept + self.flawed)
        {
            let domain = self.site.cookie_domain.as_deref().filter(|_| reach == Reach::Site);
            taken.cookie = cookies.forget(reach, domain);
        }
        let record = self.envelope.to_bytes().ok_or(Refusal::unavailable())?;
        acks::append(&self.app.spool, record).await.map_err(|_| Refusal::unavailable())??;
        add(&self.app.counters.stored, self.kept);
        add(&self.app.counters.flawed, self.flawed);
        add(&self.app.counters.cookies, usize::from(taken.cookie.is_some() && self.kept > 0));
        Ok(taken)
    }
}

impl Taken {
    /// The answer, with the cookie where there is one to set.
    pub(crate) fn answer(self, mut response: Response) -> Response {
        if let Some(cookie) = self.cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}
