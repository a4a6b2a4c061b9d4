//! What a person may ask of a deployment, and what it comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Workload;

/// The image that is deployed when nobody names another.
pub const IMAGE: &str = "aks-tui/perftest";

/// Our image of this version, as a registry names it after its own address.
pub fn our_image() -> String {
    format!("{IMAGE}:{}", env!("CARGO_PKG_VERSION"))
}

/// The secret with the name and the key of the storage account, as AMBROSIA's
/// scripts call it.
pub const SECRET: &str = "azure-fileshare-secret";

/// The image in which AMBROSIA's coordinator registers instances.
pub const REGISTER_IMAGE: &str = "ambrosia/ambrosia-dev";

/// Rounds of the original's client unless said otherwise (`NUM_ROUNDS`); ours
/// goes on for ever.
const ORIGINAL_ROUNDS: u64 = 20;

/// What a claim of a storage class asks for unless said otherwise.
pub const CLAIM_SIZE: &str = "8Gi";

/// What is asked for; what is left out stays as it was, or is a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The image of both sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image is AMBROSIA's own, or is not; none to tell by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<bool>,
    /// Where the logs are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Rounds; 0 goes on for ever, which only our image can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u64>,
    /// Payload of a message in the first round, as perftest reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message: Option<String>,
    /// Bytes of a round, as our perftest reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_round: Option<String>,
    /// Payload bytes that the client sends a second at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// The secret that names the storage account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// A secret that registries ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<String>,
    /// The image that registers instances, for the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register_image: Option<String>,
}

/// Which run the workload is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// The one that is there, if there is one; else a new one.
    #[default]
    Present,
    /// The one that is there, and no other.
    Keep,
    /// A new one, in a directory of its own; the old one's logs stay.
    Fresh,
    /// The one of this name, old or new.
    Named(String),
}

impl Order {
    /// This order, completed by an earlier one.
    #[must_use]
    pub fn over(self, earlier: Self) -> Self {
        // Another image is no longer what was said of the one before.
        let original = match &self.image {
            Some(_) => self.original,
            None => self.original.or(earlier.original),
        };
        Self {
            image: self.image.or(earlier.image),
            original,
            storage: self.storage.or(earlier.storage),
            rounds: self.rounds.or(earlier.rounds),
            max_message: self.max_message.or(earlier.max_message),
            bytes_per_round: self.bytes_per_round.or(earlier.bytes_per_round),
            rate: self.rate.or(earlier.rate),
            secret: self.secret.or(earlier.secret),
            pull_secret: self.pull_secret.or(earlier.pull_secret),
            register_image: self.register_image.or(earlier.register_image),
        }
    }

    /// The image of both sides.
    pub fn image(&self) -> &str {
        self.image.as_deref().unwrap_or(IMAGE)
    }

    /// Whether the image is AMBROSIA's own: as was said, or by its name.
    pub fn is_original(&self) -> bool {
        self.original
            .unwrap_or_else(|| self.original_of().is_some())
    }

    /// Of which workload the image is AMBROSIA's own, by its name.
    fn original_of(&self) -> Option<Workload> {
        let name = self.image().split('@').next().unwrap_or_default();
        let last = name.rsplit('/').next().unwrap_or_default();
        Workload::of_original(last.split(':').next().unwrap_or_default())
    }

    /// Rounds of the client; 0 goes on for ever.
    pub fn rounds(&self) -> u64 {
        let default = if self.is_original() {
            ORIGINAL_ROUNDS
        } else {
            0
        };
        self.rounds.unwrap_or(default)
    }

    /// The secret that names the storage account.
    pub fn secret(&self) -> &str {
        self.secret.as_deref().unwrap_or(SECRET)
    }

    /// What makes no sense in it: a sentence with what to do.
    ///
    /// # Errors
    /// That sentence.
    pub fn check(&self, workload: Workload) -> Result<(), String> {
        if let Some(other) = self.original_of().filter(|other| *other != workload) {
            return Err(format!(
                "{} is AMBROSIA's {other}, not {workload}: give the image that has it with --image",
                self.image()
            ));
        }
        if workload != Workload::Perftest {
            self.check_plain(workload)?;
        }
        let secrets = [&self.secret, &self.pull_secret];
        for name in secrets.into_iter().flatten() {
            check_name("secret", name)?;
        }
        match &self.storage {
            Some(Storage::Share { share, .. }) => check_name("share", share)?,
            Some(Storage::Claim { name }) => check_name("claim", name)?,
            Some(Storage::Class { name, .. }) => check_name("storage class", name)?,
            Some(Storage::Pod) | None => {}
        }
        if self.image().is_empty() || self.image().contains(char::is_whitespace) {
            return Err(format!(
                "{:?} is no image: write REGISTRY/NAME:TAG",
                self.image()
            ));
        }
        if !self.is_original() {
            return Ok(());
        }
        for (option, given) in [
            ("--rate", self.rate.is_some()),
            ("--bytes-per-round", self.bytes_per_round.is_some()),
        ] {
            if given {
                return Err(format!(
                    "{option}: only our own perftest can do that, and {} is AMBROSIA's",
                    self.image()
                ));
            }
        }
        if self.rounds == Some(0) {
            return Err(format!(
                "--rounds 0: AMBROSIA's perftest ({}) cannot go on for ever; give a number",
                self.image()
            ));
        }
        Ok(())
    }
}

impl Order {
    /// What only perftest can do.
    fn check_plain(&self, workload: Workload) -> Result<(), String> {
        for (option, given) in [
            ("--rounds", self.rounds.is_some()),
            ("--max-message", self.max_message.is_some()),
            ("--bytes-per-round", self.bytes_per_round.is_some()),
            ("--rate", self.rate.is_some()),
        ] {
            if given {
                return Err(format!(
                    "{option}: only perftest can do that, not {workload}"
                ));
            }
        }
        Ok(())
    }
}

/// Names that become part of names of objects.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() <= 63
        && name.chars().all(fine)
        && edge(name.chars().next())
        && edge(name.chars().next_back())
    {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name of a {what}: use up to 63 small letters, digits and -"
    ))
}

impl Run {
    /// What makes no sense in it: a sentence. A run's name becomes a directory's.
    ///
    /// # Errors
    /// That sentence.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Named(name) => check_name("run", name),
            _ => Ok(()),
        }
    }
}

/// Where the logs of the instances are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Storage {
    /// A file share of Azure that is there already; it outlives everything.
    Share {
        /// Its name.
        share: String,
        /// The resource group of its account, if it is another than the nodes'.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource_group: Option<String>,
    },
    /// A claim that is there already.
    Claim {
        /// Its name.
        name: String,
    },
    /// A new claim of a storage class for each side.
    Class {
        /// The class.
        name: String,
        /// How much is claimed.
        size: String,
        /// Several nodes can mount it at once; none until the cluster was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<bool>,
    },
    /// A directory that goes when the pod goes: a deleted pod loses its run.
    Pod,
}

impl Storage {
    /// Whether the logs survive the pod.
    pub const fn outlives_pods(&self) -> bool {
        !matches!(self, Self::Pod)
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share {
                share,
                resource_group: None,
            } => write!(f, "share:{share}"),
            Self::Share {
                share,
                resource_group: Some(group),
            } => write!(f, "share:{group}/{share}"),
            Self::Claim { name } => write!(f, "claim:{name}"),
            Self::Class { name, size, .. } => write!(f, "class:{name}:{size}"),
            Self::Pod => f.write_str("pod"),
        }
    }
}

impl std::str::FromStr for Storage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no storage: write share:NAME, share:RESOURCE-GROUP/NAME, claim:NAME, class:NAME, class:NAME:SIZE or pod"
            )
        };
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let given = || {
            (!rest.is_empty())
                .then(|| rest.to_owned())
                .ok_or_else(wrong)
        };
        match kind {
            "pod" if rest.is_empty() => Ok(Self::Pod),
            "claim" => Ok(Self::Claim { name: given()? }),
            "share" => {
                let given = given()?;
                let (group, share) = match given.rsplit_once('/') {
                    Some((group, share)) => (Some(group.to_owned()), share.to_owned()),
                    None => (None, given),
                };
                if share.is_empty() || group.as_deref() == Some("") {
                    return Err(wrong());
                }
                Ok(Self::Share {
                    share,
                    resource_group: group,
                })
            }
            "class" => {
                let given = given()?;
                let (name, size) = given.split_once(':').unwrap_or((&given, CLAIM_SIZE));
                if name.is_empty() || size.is_empty() {
                    return Err(wrong());
                }
                Ok(Self::Class {
                    name: name.to_owned(),
                    size: size.to_owned(),
                    shared: None,
                })
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_written_as_it_is_read() {
        for text in [
            "pod",
            "share:logs",
            "share:my-group/logs",
            "claim:mine",
            "class:azurefile-csi:8Gi",
        ] {
            assert_eq!(text.parse::<Storage>().unwrap().to_string(), text);
        }
        assert_eq!(
            "class:managed-csi".parse::<Storage>().unwrap().to_string(),
            "class:managed-csi:8Gi"
        );
        for text in [
            "",
            "pods",
            "share:",
            "share:/x",
            "share:x/",
            "claim",
            "class::1Gi",
            "class:x:",
        ] {
            let why = text.parse::<Storage>().unwrap_err();
            assert!(why.contains("share:NAME"), "{text}: {why}");
        }
    }

    #[test]
    fn the_original_is_known_by_its_name_unless_told() {
        let of = |image: &str| Order {
            image: Some(image.into()),
            ..Order::default()
        };
        assert!(of("ambrosia/ambrosia-perftest").is_original());
        assert!(of("x.azurecr.io/ambrosia-perftest:1@sha256:00").is_original());
        assert!(of("ambrosia/ambrosia-hello").is_original());
        assert!(!of("x.azurecr.io/aks-tui/perftest:1").is_original());
        assert!(!Order::default().is_original());
        let told = Order {
            original: Some(true),
            ..of("x.azurecr.io/mine")
        };
        assert!(told.is_original());
        assert_eq!((told.rounds(), Order::default().rounds()), (20, 0));
    }

    #[test]
    fn what_is_left_out_stays_as_it_was() {
        let earlier = Order {
            image: Some("ambrosia/x".into()),
            original: Some(true),
            rate: Some("1MiB".into()),
            ..Order::default()
        };
        let only_rounds = Order {
            rounds: Some(3),
            ..Order::default()
        };
        let both = only_rounds.over(earlier.clone());
        assert_eq!((both.image(), both.rounds()), ("ambrosia/x", 3));
        assert_eq!(both.original, Some(true));
        let another = Order {
            image: Some("y".into()),
            ..Order::default()
        };
        assert!(!another.over(earlier).is_original());
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let original = Order {
            image: Some("ambrosia/ambrosia-perftest".into()),
            ..Order::default()
        };
        let with = |change: fn(&mut Order)| {
            let mut order = original.clone();
            change(&mut order);
            order.check(Workload::Perftest).unwrap_err()
        };
        assert!(with(|o| o.rate = Some("1".into())).contains("--rate"));
        assert!(with(|o| o.rounds = Some(0)).contains("for ever"));
        assert!(with(|o| o.secret = Some("No Such".into())).contains("no name of a secret"));
        assert!(with(|o| o.image = Some("a b".into())).contains("no image"));
        assert_eq!(original.check(Workload::Perftest), Ok(()));
        let rate = Order {
            rate: Some("1".into()),
            ..Order::default()
        };
        let why = rate.check(Workload::Helloworld).unwrap_err();
        assert!(why.contains("--rate: only perftest"), "{why}");
        let why = original.check(Workload::Helloworld).unwrap_err();
        assert!(
            why.contains("is AMBROSIA's perftest, not helloworld"),
            "{why}"
        );
        let run = |name: &str| Run::Named(name.into()).check();
        assert!(
            run("../elsewhere")
                .unwrap_err()
                .contains("no name of a run")
        );
        assert_eq!(run("run-1"), Ok(()));
    }
}
