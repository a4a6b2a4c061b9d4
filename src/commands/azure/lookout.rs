//! Somebody who looks at what there is in Azure while a person looks at it.
//!
//! Often while something changes, seldom otherwise, and ever more seldom while it
//! cannot be seen. The provider of clusters takes sixty reads at once and then one a
//! second; a look costs four of them.

use std::{sync::Arc, time::Duration};

use color_eyre::eyre::Result;
use tokio::sync::mpsc;

use super::desk::Office;
use crate::{
    adapters::{
        azure::{preflight, sight::Looker},
        sink::{Closed, Sink},
    },
    core::{
        azure::bed::{Look, Sight, Told},
        event::Fact,
    },
};

/// Between looks while something changes.
const SOON: Duration = Duration::from_secs(5);

/// Between looks while nothing does, at most.
const SELDOM: Duration = Duration::from_secs(30);

/// Between looks that fail, at most.
const SELDOM_BLIND: Duration = Duration::from_secs(120);

/// After something was begun: it takes a while until it can be seen.
const BEGUN: Duration = Duration::from_secs(2);

/// Looks as it is told to, until nobody tells any more.
pub async fn keep(
    office: Arc<Office>,
    sink: Sink,
    mut orders: mpsc::Receiver<Look>,
) -> Result<(), Closed> {
    let mut lookout = Lookout {
        office,
        sink,
        looker: None,
        before: None,
        pause: SOON,
    };
    let mut watching = false;
    loop {
        let pause = lookout.pause;
        let order = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => order,
                None => return Ok(()),
            },
            () = tokio::time::sleep(pause), if watching => Look::Now,
        };
        match order {
            Look::Away => watching = false,
            Look::Soon => lookout.pause = BEGUN,
            Look::Watch | Look::Now => {
                watching |= order == Look::Watch;
                lookout.look().await?;
            }
        }
    }
}

struct Lookout {
    office: Arc<Office>,
    sink: Sink,
    looker: Option<Looker>,
    before: Option<Arc<Sight>>,
    pause: Duration,
}

impl Lookout {
    async fn look(&mut self) -> Result<(), Closed> {
        let told = match self.see().await {
            Ok(sight) => {
                let moves = sight.moves();
                let same = self
                    .before
                    .as_deref()
                    .is_some_and(|before| before.is_like(&sight));
                self.pause = if moves || !same {
                    SOON
                } else {
                    self.pause.mul_f64(1.5).min(SELDOM)
                };
                let told = if same {
                    Told::Same {
                        spent: sight.spent.clone(),
                    }
                } else {
                    Told::Sight(Box::new(sight.clone()))
                };
                self.before = Some(Arc::new(sight));
                told
            }
            Err(error) => {
                self.pause = (self.pause * 2).clamp(SOON, SELDOM_BLIND);
                Told::Blind {
                    why: format!("{error:#}"),
                    again: self.pause,
                }
            }
        };
        self.sink.send(Fact::Bed(told)).await
    }

    /// Signs in if need be; somebody who failed may have signed in meanwhile.
    async fn see(&mut self) -> Result<Sight> {
        let looker = match &mut self.looker {
            Some(looker) => looker,
            none => {
                let settings = self.office.config.load()?;
                let client = self.office.sign_in(&settings).await?;
                let wanted = &settings.azure.subscription;
                let subscription = preflight::subscription(&client, wanted).await?;
                none.insert(Looker::new(client, settings, &subscription))
            }
        };
        Ok(looker.look().await?)
    }
}
