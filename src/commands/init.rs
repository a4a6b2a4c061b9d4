//! `aks-tui init`: a few questions, and a commented `aks-tui.yaml`.

use std::{
    env, fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use color_eyre::eyre::{Result, WrapErr, bail, eyre};

use super::{complain, print};
use crate::{
    config::{file, migrate, schema, write},
    core::azure::{
        names::{self, Rule},
        settings::Settings,
    },
};

/// Write a commented aks-tui.yaml after a few questions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take everything over from a script of AMBROSIA's, without questions
    #[arg(long, value_name = "AmbrosiaAKSConf.sh")]
    from: Option<PathBuf>,

    /// Where to write
    #[arg(short, long, value_name = "FILE", default_value = file::NAME)]
    output: PathBuf,

    /// What the names of all resources begin with
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Id of the subscription
    #[arg(long, value_name = "ID", env = "AZURE_SUBSCRIPTION_ID")]
    subscription: Option<String>,

    /// Region
    #[arg(long, value_name = "REGION")]
    location: Option<String>,

    /// Ask nothing: take what is given, and defaults for the rest
    #[arg(short, long)]
    yes: bool,

    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,

    /// Print the JSON schema of the file, for editors, and do nothing else
    #[arg(long)]
    schema: bool,
}

/// Asks, and writes the file.
///
/// # Errors
/// The file is there already, cannot be written, or what is given is no valid name.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.schema {
        return print(&format!("{:#}\n", schema::schema()));
    }
    if args.output.exists() && !args.force {
        bail!(
            "{} is there already; --force overwrites it, --output FILE writes another",
            args.output.display()
        );
    }
    let settings = match &args.from {
        Some(script) => from_script(script)?,
        None => ask(args)?,
    };
    let text = write::commented(&settings);
    // What is written can be read: a name that does not fit is refused here.
    if let Err(mistakes) = file::parse(&args.output.display().to_string(), &text) {
        for mistake in &mistakes {
            complain(&mistake.to_string());
        }
        if args.from.is_none() {
            bail!("nothing was written");
        }
        complain("it is written nevertheless: correct it there");
    }
    fs::write(&args.output, text)
        .wrap_err_with(|| format!("cannot write {}", args.output.display()))?;
    print(&format!("wrote {}\n", args.output.display()))
}

fn from_script(script: &Path) -> Result<Settings> {
    let text =
        fs::read_to_string(script).wrap_err_with(|| format!("cannot read {}", script.display()))?;
    let migrated = migrate::migrate(&script.display().to_string(), &text)?;
    for note in &migrated.notes {
        complain(note);
    }
    Ok(migrated.settings)
}

fn ask(args: &Args) -> Result<Settings> {
    if !args.yes && !io::stdin().is_terminal() {
        bail!(
            "there is no terminal to ask on: --yes takes what is given, and defaults for the rest"
        );
    }
    let mut asker = Asker { ask: !args.yes };
    let name = asker.name(
        "Names begin with",
        args.name.as_deref(),
        &own_name(),
        names::STEM,
    )?;
    let subscription = asker.optional(
        "Subscription id (empty: the sign-in's own)",
        args.subscription.as_deref(),
    )?;
    let location = args.location.as_deref().map(names::location);
    let location = asker.name("Region", location.as_deref(), "eastus", names::LOCATION)?;
    let mut settings = Settings::default();
    let nodes = asker.line("Nodes", &settings.cluster.nodes.to_string())?;
    settings.cluster.nodes = nodes
        .parse()
        .map_err(|_| eyre!("`{nodes}` is no number of nodes"))?;
    settings.cluster.vm_size = asker.name(
        "Size of a node",
        None,
        &settings.cluster.vm_size.clone(),
        names::VM_SIZE,
    )?;
    let group = format!("{name}-group");
    settings.azure.subscription.clone_from(&subscription);
    settings.azure.location = location;
    settings.storage.account = names::unique(&format!("{name}st"), &subscription, &group, 24);
    settings.registry.name = names::unique(&format!("{name}reg"), &subscription, &group, 50);
    settings.cluster.name = format!("{name}-cluster");
    settings.azure.resource_group = group;
    Ok(settings)
}

/// Who asks, as the beginning of a name.
fn own_name() -> String {
    let user = env::var("USER")
        .or_else(|_| env::var("USERNAME"))
        .unwrap_or_default();
    let clean: String = user
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(10)
        .collect();
    clean + "aks"
}

struct Asker {
    ask: bool,
}

impl Asker {
    /// A line of a person's, or `default` if it is empty or nobody is asked.
    fn line(&mut self, question: &str, default: &str) -> Result<String> {
        if !self.ask {
            return Ok(default.to_owned());
        }
        let mut out = io::stderr();
        let hint = if default.is_empty() {
            String::new()
        } else {
            format!(" [{default}]")
        };
        write!(out, "{question}{hint}: ")?;
        out.flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            bail!("the answers ended: nothing was written");
        }
        let line = line.trim();
        Ok(if line.is_empty() { default } else { line }.to_owned())
    }

    /// A name that obeys `rule`; asked again until it does.
    fn name(
        &mut self,
        question: &str,
        given: Option<&str>,
        default: &str,
        rule: Rule,
    ) -> Result<String> {
        if let Some(given) = given {
            return match rule.refuses(given) {
                None => Ok(given.to_owned()),
                Some(why) => Err(eyre!(why)),
            };
        }
        loop {
            let answer = self.line(question, default)?;
            match rule.refuses(&answer) {
                None => return Ok(answer),
                Some(why) if self.ask => complain(&why),
                Some(why) => bail!(why),
            }
        }
    }

    /// An id, or nothing.
    fn optional(&mut self, question: &str, given: Option<&str>) -> Result<String> {
        match given {
            Some(given) if !given.is_empty() => self.name(question, Some(given), "", names::GUID),
            _ => loop {
                let answer = self.line(question, "")?;
                match names::GUID.refuses(&answer) {
                    _ if answer.is_empty() => return Ok(answer),
                    None => return Ok(answer),
                    Some(why) => complain(&why),
                }
            },
        }
    }
}
