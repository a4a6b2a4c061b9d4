//! Azure for the cockpit: wishes in, facts out. What the commands do, at the desk of
//! somebody who watches.

use std::{path::Path, sync::Arc};

use color_eyre::eyre::{Result, eyre};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{ConfigArgs, Times, cleaning::Cleaning, provision};
use crate::{
    adapters::{
        azure::{
            Client, Cloud, Notice, apply, credential, machines,
            plan::{self, Planned},
        },
        journal::StateDir,
        sink::{Closed, Sink},
    },
    core::{
        azure::{
            clean::{Preview, Scope},
            desk::{Cluster, Seen, Wish},
            progress::Progress,
            settings::Settings,
        },
        event::Fact,
    },
};

/// Looks a variable up.
pub type Environment = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What the desk works with.
pub struct Office {
    /// What is wanted in Azure.
    pub config: ConfigArgs,
    /// Where credentials and times are kept.
    pub state: StateDir,
    /// Where sign-in looks variables up.
    pub environment: Environment,
}

impl Office {
    /// The user's own.
    pub fn usual(config: ConfigArgs) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            config,
            state: StateDir::find()?,
            environment: Box::new(credential::environment),
        }))
    }

    /// Signs in for somebody on whose screen nothing else may be written: what must
    /// wait is told to the cockpit's own log.
    pub(super) async fn sign_in(&self, settings: &Settings) -> Result<Client> {
        let cloud = Cloud::of(&settings.azure)?;
        let identity = credential::sign_in(&settings.azure, &cloud, &*self.environment).await?;
        let listener = |notice| tracing::info!(?notice, "Azure");
        Ok(Client::new(cloud, identity, Arc::new(listener)))
    }
}

/// Fulfils wishes until nobody has any more, or the run is closed.
pub fn start(
    office: Arc<Office>,
    sink: Sink,
    wishes: mpsc::Receiver<Wish>,
    closing: CancellationToken,
) {
    tokio::spawn(async move {
        let (say, said) = mpsc::unbounded_channel();
        let mut desk = Desk {
            office,
            sink,
            say,
            client: None,
            planned: None,
            preview: None,
        };
        // Whatever is in flight ends with the cockpit; Azure goes on by itself, and the
        // next plan finds it.
        let _ = closing.run_until_cancelled(desk.run(wishes, said)).await;
    });
}

struct Desk {
    office: Arc<Office>,
    sink: Sink,
    say: mpsc::UnboundedSender<Progress>,
    client: Option<Client>,
    planned: Option<Planned>,
    preview: Option<Preview>,
}

/// What came of a wish.
enum Made {
    Planned(Box<Planned>),
    Previewed(Preview),
    Cluster(Cluster),
    Nothing,
}

impl Desk {
    async fn run(
        &mut self,
        mut wishes: mpsc::Receiver<Wish>,
        mut said: mpsc::UnboundedReceiver<Progress>,
    ) -> Result<(), Closed> {
        while let Some(wish) = wishes.recv().await {
            if wish == Wish::Cancel {
                continue;
            }
            self.tell(Seen::Began { wish }).await?;
            let made = self.follow(wish, &mut wishes, &mut said).await?;
            while let Ok(progress) = said.try_recv() {
                self.tell(Seen::Progress(progress)).await?;
            }
            let failure = self.keep(wish, made).await?;
            self.tell(Seen::Ended { wish, failure }).await?;
        }
        Ok(())
    }

    async fn tell(&self, seen: Seen) -> Result<(), Closed> {
        self.sink.send(Fact::Azure(seen)).await
    }

    /// Works, and hands on what is said meanwhile.
    async fn follow(
        &mut self,
        wish: Wish,
        wishes: &mut mpsc::Receiver<Wish>,
        said: &mut mpsc::UnboundedReceiver<Progress>,
    ) -> Result<Result<Made>, Closed> {
        let settings = match self.office.config.load() {
            Ok(settings) => settings,
            Err(error) => return Ok(Err(error)),
        };
        let client = match self.sign_in(&settings).await {
            Ok(client) => client,
            Err(error) => return Ok(Err(error)),
        };
        let sink = self.sink.clone();
        let say = self.say.clone();
        let mut work = Box::pin(fulfil(
            &client,
            &settings,
            &self.office.state,
            wish,
            self.planned.as_ref(),
            self.preview.as_ref(),
            say,
        ));
        let cancelled = loop {
            tokio::select! {
                made = &mut work => return Ok(made),
                Some(progress) = said.recv() => sink.send(Fact::Azure(Seen::Progress(progress))).await?,
                wish = wishes.recv() => match wish {
                    Some(Wish::Cancel) => break true,
                    Some(_) => {}
                    None => break false,
                },
            }
        };
        if cancelled && let (Wish::Provision, Some(planned)) = (wish, &self.planned) {
            // The work is given up first: it must not start again what is cancelled.
            if let Err(failure) = apply::cancel(&client, planned).await {
                return Ok(Err(failure.into()));
            }
        }
        Ok(Err(eyre!(
            "cancelled; what is done stays, and a new plan goes on from there"
        )))
    }

    async fn keep(&mut self, wish: Wish, made: Result<Made>) -> Result<Option<String>, Closed> {
        if wish.changes() {
            self.planned = None;
            self.preview = None;
        }
        match made {
            Ok(Made::Planned(planned)) => {
                self.tell(Seen::Planned(Box::new(planned.plan.clone())))
                    .await?;
                self.planned = Some(*planned);
                self.preview = None;
            }
            Ok(Made::Previewed(preview)) => {
                self.tell(Seen::Previewed(preview.clone())).await?;
                self.preview = Some(preview);
            }
            Ok(Made::Cluster(cluster)) => self.tell(Seen::Cluster(cluster)).await?,
            Ok(Made::Nothing) => {}
            Err(error) => return Ok(Some(format!("{error:#}"))),
        }
        Ok(None)
    }

    /// Signs in once; somebody who failed may have signed in meanwhile.
    async fn sign_in(&mut self, settings: &Settings) -> Result<Client> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let cloud = Cloud::of(&settings.azure)?;
        let identity =
            credential::sign_in(&settings.azure, &cloud, &*self.office.environment).await?;
        let say = self.say.clone();
        let listener = move |notice| {
            // Nobody listens any more only when the cockpit leaves.
            let _ = say.send(match notice {
                Notice::Retry { why, wait, .. } => Progress::Wait {
                    why,
                    seconds: wait.as_secs_f64(),
                },
                Notice::Low { budget, left } => Progress::Note {
                    text: format!("Azure's budget {budget} has {left} requests left"),
                },
            });
        };
        let client = Client::new(cloud, identity, Arc::new(listener));
        self.client = Some(client.clone());
        Ok(client)
    }
}

async fn fulfil(
    client: &Client,
    settings: &Settings,
    state: &StateDir,
    wish: Wish,
    planned: Option<&Planned>,
    preview: Option<&Preview>,
    say: mpsc::UnboundedSender<Progress>,
) -> Result<Made> {
    let mut times = Times::load(state);
    let kubeconfig = super::kubeconfig(state, settings);
    match wish {
        Wish::Plan => {
            let planned = plan::make(client, settings, &|kind| times.seconds(kind)).await?;
            Ok(Made::Planned(Box::new(planned)))
        }
        Wish::Provision => {
            let planned = planned.ok_or_else(|| eyre!("there is no plan"))?;
            let mut tell = |progress: Progress| {
                provision::remember(&mut times, &progress);
                let _ = say.send(progress);
            };
            let kubeconfig =
                provision::carry_out(client, settings, planned, kubeconfig, &mut tell).await?;
            tell(Progress::Note {
                text: format!("ready: aks-tui --kubeconfig {}", kubeconfig.display()),
            });
            times.save(state);
            Ok(Made::Cluster(Cluster::There {
                kubeconfig: kubeconfig.display().to_string(),
                namespace: settings.workload.namespace.clone(),
                order: Box::new(settings.order()),
            }))
        }
        Wish::Preview(scope) => Ok(Made::Previewed(
            clean(client, settings, &kubeconfig, scope, None, &say).await?,
        )),
        Wish::Clean(scope) => {
            let preview = preview.ok_or_else(|| eyre!("there is no preview"))?;
            clean(client, settings, &kubeconfig, scope, Some(preview), &say).await?;
            if scope != Scope::All {
                return Ok(Made::Nothing);
            }
            let kubeconfig = kubeconfig.display().to_string();
            Ok(Made::Cluster(Cluster::Gone { kubeconfig }))
        }
        Wish::Switch { on } => {
            let paths = super::paths(client, settings).await?;
            let mut tell = |progress| {
                let _ = say.send(progress);
            };
            let cluster = &settings.cluster.name;
            machines::switch(client, &paths, cluster, on, &mut tell).await?;
            Ok(Made::Nothing)
        }
        Wish::Cancel => Ok(Made::Nothing),
    }
}

/// Looks at what there is to delete; with a preview, deletes what it names.
async fn clean(
    client: &Client,
    settings: &Settings,
    kubeconfig: &Path,
    scope: Scope,
    preview: Option<&Preview>,
    say: &mpsc::UnboundedSender<Progress>,
) -> Result<Preview> {
    let cleaning = Cleaning::new(client, settings, kubeconfig.to_owned(), &[]).await?;
    let Some(preview) = preview else {
        return cleaning.preview(scope).await;
    };
    let mut tell = |progress| {
        let _ = say.send(progress);
    };
    cleaning.carry_out(preview, &mut tell).await?;
    Ok(preview.clone())
}
