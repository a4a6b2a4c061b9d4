//! Images. The lab has no registry: an image is a set of programs that are
//! already on this machine.

/// An image that the node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image {
    /// Its name without registry and tag.
    pub name: &'static str,
    /// Names under which this executable is on the container's `PATH`.
    pub links: &'static [&'static str],
    /// What it runs when the container names no command.
    pub command: &'static [&'static str],
}

impl Image {
    /// What comes before these arguments of a container that names no command.
    /// The shell's image runs a command that is given instead, as
    /// `kubectl run -it … -- sh` expects; options are the shell's own.
    pub fn entry(&self, arguments: &[String]) -> &'static [&'static str] {
        let first = arguments.first();
        match first {
            Some(word) if self.name == SHELL && !word.starts_with('-') => &[],
            _ => self.command,
        }
    }
}

const SHELL: &str = "aks-tui/shell";

/// Every image of the node.
pub(super) const IMAGES: [Image; 8] = [
    Image {
        name: "aks-tui/perftest",
        links: &["Job", "Server", "aks-tui"],
        command: &[],
    },
    Image {
        name: SHELL,
        links: &[],
        command: &["sh"],
    },
    program("aks-tui/web", &["web"]),
    program("aks-tui/crasher", &["crasher"]),
    program("aks-tui/hog", &["hog"]),
    program("aks-tui/flooder", &["flooder"]),
    program("aks-tui/slow-starter", &["slow-starter"]),
    program("aks-tui/pause", &["pause"]),
];

/// An image with one program of the lab's own, which it runs by itself.
const fn program(name: &'static str, command: &'static [&'static str]) -> Image {
    Image {
        name,
        links: command,
        command,
    }
}

/// The image of that reference, whatever its registry, tag and digest.
pub(super) fn find(reference: &str) -> Option<Image> {
    let name = reference.split('@').next()?;
    let name = match name.rsplit_once('/') {
        // A colon before the last slash is a registry's port.
        Some((path, last)) => format!("{path}/{}", last.split(':').next()?),
        None => name.split(':').next()?.to_owned(),
    };
    IMAGES.into_iter().find(|image| {
        name.strip_suffix(image.name)
            .is_some_and(|registry| registry.is_empty() || registry.ends_with('/'))
    })
}

/// Why an image cannot be had, as a node without a registry says it.
pub(super) fn missing(reference: &str) -> String {
    let names: Vec<_> = IMAGES.iter().map(|image| image.name).collect();
    format!(
        "failed to pull and unpack image {reference:?}: the lab pulls nothing; its images are {}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_tag_and_digest_do_not_matter() {
        for reference in [
            "aks-tui/perftest",
            "aks-tui/perftest:latest",
            "aks-tui/perftest:v1@sha256:00",
            "docker.io/aks-tui/perftest",
            "localhost:5000/aks-tui/perftest:x",
        ] {
            assert_eq!(
                find(reference).map(|it| it.name),
                Some("aks-tui/perftest"),
                "{reference}"
            );
        }
        assert_eq!(find("aks-tui/shell").map(|it| it.links.len()), Some(0));
        for reference in [
            "nginx",
            "",
            "perftest",
            "myaks-tui/perftest",
            "aks-tui/perftest2",
        ] {
            assert_eq!(find(reference), None, "{reference}");
        }
        let why = missing("nginx");
        assert!(why.contains("aks-tui/perftest, aks-tui/shell"), "{why}");
    }
}
