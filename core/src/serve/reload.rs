//! The file is read again, and what it says is proved before anything is given up for it.

use super::{Server, api::Api};
use crate::{
    Error, Result,
    config::Pipeline,
    log,
    step::{Run, Schemas},
};
use kindred_listening::Listener;

/// Another pipeline, which would open.
pub(super) struct Proved {
    pub(super) next: Pipeline,
    /// Its address, where that is another one.
    pub(super) listener: Option<Listener>,
    /// What its sources bring.
    pub(super) known: Schemas,
}

impl Server<'_> {
    /// The file, read again; none, and the old one goes on, where it is wrong or would not open.
    pub(super) fn reload(&self, run: &mut Run<'_>, pipeline: &Pipeline) -> Option<Proved> {
        let proved = (self.load)().map(|next| prove(run, pipeline, next));
        self.status.reloaded(matches!(proved, Some(Ok(_))));
        let why = match proved {
            Some(Ok(proved)) => {
                log::info("the file is taken over");
                return Some(proved);
            }
            Some(Err(error)) => error.to_string(),
            None => "the file was not taken over".to_owned(),
        };
        log::error(&format!("{why}; the pipeline goes on as it was"));
        None
    }
}

fn prove(run: &mut Run<'_>, pipeline: &Pipeline, next: Pipeline) -> Result<Proved> {
    if next.store != pipeline.store {
        return Err(Error::NotFound("the file names another store, which needs a restart".into()));
    }
    let known = run.prove(&next)?;
    // Last, so that nobody is let in who is sent away at once.
    let moves = next.serve.listen != pipeline.serve.listen;
    let listener = moves.then(|| Api::bind(&next.serve)).transpose()?;
    Ok(Proved { next, listener, known })
}
