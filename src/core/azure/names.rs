//! Which names Azure and Kubernetes accept, so that a bad one is refused before
//! anything is created.
//!
//! Lengths and alphabets are those of Azure's "naming rules and restrictions for
//! resources" and of Kubernetes' object names.

/// A rule for one kind of name.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// What errors call the thing.
    pub what: &'static str,
    /// Fewest and most characters.
    pub length: (usize, usize),
    /// The rule as a regular expression for editors and people, without length.
    pub pattern: &'static str,
    /// The alphabet in words.
    pub words: &'static str,
    holds: fn(&str) -> bool,
}

/// A resource group.
pub const RESOURCE_GROUP: Rule = Rule {
    what: "a resource group",
    length: (1, 90),
    pattern: r"^[A-Za-z0-9_().-]*[A-Za-z0-9_()-]$",
    words: "letters, digits and - _ . ( ), not ending in a full stop",
    holds: |name| {
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.()".contains(c))
            && !name.ends_with('.')
    },
};

/// A storage account: unique in all of Azure.
pub const STORAGE_ACCOUNT: Rule = Rule {
    what: "a storage account",
    length: (3, 24),
    pattern: r"^[a-z0-9]+$",
    words: "lower-case letters and digits",
    holds: |name| name.chars().all(lower_or_digit),
};

/// What the names of a new set-up begin with; fits into every rule.
pub const STEM: Rule = Rule {
    what: "a name to begin with",
    length: (1, 16),
    pattern: r"^[a-z0-9]+$",
    words: "lower-case letters and digits",
    holds: |name| name.chars().all(lower_or_digit),
};

/// A file share.
pub const SHARE: Rule = Rule {
    what: "a file share",
    length: (3, 63),
    pattern: r"^[a-z0-9]+(-[a-z0-9]+)*$",
    words: "lower-case letters and digits, and single hyphens between them",
    holds: |name| {
        name.split('-')
            .all(|part| !part.is_empty() && part.chars().all(lower_or_digit))
    },
};

/// A container registry: unique in all of Azure.
pub const REGISTRY: Rule = Rule {
    what: "a container registry",
    length: (5, 50),
    pattern: r"^[A-Za-z0-9]+$",
    words: "letters and digits",
    holds: |name| name.chars().all(|c| c.is_ascii_alphanumeric()),
};

/// A managed cluster.
pub const CLUSTER: Rule = Rule {
    what: "a cluster",
    length: (1, 63),
    pattern: r"^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?$",
    words: "letters, digits, - and _, beginning and ending with a letter or digit",
    holds: |name| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        name.chars().all(inner) && bounded_by(name, |c| c.is_ascii_alphanumeric())
    },
};

/// A node pool with Linux nodes.
pub const NODE_POOL: Rule = Rule {
    what: "a node pool",
    length: (1, 12),
    pattern: r"^[a-z][a-z0-9]*$",
    words: "lower-case letters and digits, beginning with a letter",
    holds: |name| {
        name.chars().all(lower_or_digit) && name.starts_with(|c: char| c.is_ascii_lowercase())
    },
};

/// A virtual machine's size.
pub const VM_SIZE: Rule = Rule {
    what: "a machine's size",
    length: (1, 64),
    pattern: r"^[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_-]+$",
    words: "a family and a model like Standard_D2s_v5",
    holds: |name| {
        name.split_once('_').is_some_and(|(tier, model)| {
            tier.starts_with(|c: char| c.is_ascii_alphabetic())
                && tier.chars().all(|c| c.is_ascii_alphanumeric())
                && !model.is_empty()
                && model
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        })
    },
};

/// A region, as Azure's requests name it.
pub const LOCATION: Rule = Rule {
    what: "a region",
    length: (2, 40),
    pattern: r"^[a-z][a-z0-9]*$",
    words: "one word of lower-case letters and digits, like eastus",
    holds: |name| {
        name.chars().all(lower_or_digit) && name.starts_with(|c: char| c.is_ascii_lowercase())
    },
};

/// The id of a subscription or a tenant.
pub const GUID: Rule = Rule {
    what: "an id",
    length: (36, 36),
    pattern: r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
    words: "a GUID like 00000000-0000-0000-0000-000000000000",
    holds: |name| {
        let lengths = [8, 4, 4, 4, 12];
        let parts: Vec<&str> = name.split('-').collect();
        parts.len() == lengths.len()
            && parts.iter().zip(lengths).all(|(part, length)| {
                part.len() == length && part.chars().all(|c| c.is_ascii_hexdigit())
            })
    },
};

/// A Kubernetes namespace, or the name of an instance that becomes one's label.
pub const LABEL: Rule = Rule {
    what: "a Kubernetes name",
    length: (1, 63),
    pattern: r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    words: "lower-case letters, digits and -, beginning and ending with a letter or digit",
    holds: |name| {
        name.chars().all(|c| lower_or_digit(c) || c == '-') && bounded_by(name, lower_or_digit)
    },
};

/// Any other Kubernetes object.
pub const OBJECT: Rule = Rule {
    what: "a Kubernetes object's name",
    length: (1, 253),
    pattern: r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
    words: "lower-case letters, digits, - and ., each part beginning and ending with a letter or digit",
    holds: |name| {
        name.split('.').all(|part| {
            part.chars().all(|c| lower_or_digit(c) || c == '-') && bounded_by(part, lower_or_digit)
        })
    },
};

/// Every rule there is, for whoever wants to go through them.
pub const RULES: [Rule; 12] = [
    STEM,
    RESOURCE_GROUP,
    STORAGE_ACCOUNT,
    SHARE,
    REGISTRY,
    CLUSTER,
    NODE_POOL,
    VM_SIZE,
    LOCATION,
    GUID,
    LABEL,
    OBJECT,
];

impl Rule {
    /// What is wrong with `name`, in words for a person; nothing if it is fine.
    pub fn refuses(&self, name: &str) -> Option<String> {
        let (least, most) = self.length;
        let count = name.chars().count();
        if count < least || count > most {
            let range = if least == most {
                format!("{least}")
            } else {
                format!("{least} to {most}")
            };
            return Some(format!(
                "`{name}` has {count} characters: {} has {range}",
                self.what
            ));
        }
        (!(self.holds)(name)).then(|| format!("`{name}` is not {} of {}", self.what, self.words))
    }
}

/// A region as people write it (`East US`), as requests name it (`eastus`).
pub fn location(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase()
}

/// A name that is likely to be free all over Azure: `wanted` and five characters
/// that only this subscription and group have, within `most` characters.
pub fn unique(wanted: &str, subscription: &str, group: &str, most: usize) -> String {
    // FNV-1a: stable for ever, which std's hasher does not promise.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in subscription.bytes().chain([b'/']).chain(group.bytes()) {
        hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    }
    let suffix: String = (0..5)
        .map(|place| {
            let digit = (hash >> (place * 7)) % 36;
            char::from_digit(digit as u32, 36).unwrap_or('0')
        })
        .collect();
    let stem: String = wanted
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(most - suffix.len())
        .collect();
    stem + &suffix
}

/// The first part of a cluster's address: its name and its group's, cut and
/// cleaned to what a DNS label takes.
pub fn dns_prefix(cluster: &str, group: &str) -> String {
    let clean = |text: &str, most: usize| -> String {
        text.chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .take(most)
            .collect()
    };
    let whole = format!("{}-{}", clean(cluster, 24), clean(group, 24));
    whole.trim_matches('-').to_ascii_lowercase()
}

const fn lower_or_digit(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn bounded_by(name: &str, holds: impl Fn(char) -> bool) -> bool {
    name.chars().next().is_some_and(&holds) && name.chars().next_back().is_some_and(holds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    #[test]
    fn names_of_the_original_are_accepted_and_slips_are_not() {
        let fine = [
            (RESOURCE_GROUP, "xyz-group"),
            (STORAGE_ACCOUNT, "xyzstorage"),
            (SHARE, "ambrosia-logs-smbshare"),
            (REGISTRY, "xyzcontainerreg"),
            (CLUSTER, "xyz-cluster"),
            (VM_SIZE, "Standard_DS4_v2"),
            (LOCATION, "eastus"),
            (GUID, "00000000-1111-2222-3333-444444444444"),
        ];
        for (rule, name) in fine {
            assert_eq!(rule.refuses(name), None);
        }
        let bad = [
            (RESOURCE_GROUP, "group."),
            (STORAGE_ACCOUNT, "my-storage"),
            (STORAGE_ACCOUNT, "xy"),
            (SHARE, "logs--share"),
            (SHARE, "-logs"),
            (REGISTRY, "my_registry"),
            (REGISTRY, "four"),
            (CLUSTER, "cluster-"),
            (NODE_POOL, "1pool"),
            (GUID, "PASTE_SUBSCRIPTION_ID_HERE"),
            (LOCATION, "East US"),
        ];
        for (rule, name) in bad {
            let why = rule.refuses(name).unwrap();
            assert!(why.contains(name) && why.contains(rule.what), "{why}");
        }
    }

    #[test]
    fn regions_are_written_as_people_write_them() {
        assert_eq!(location("East US 2"), "eastus2");
        assert_eq!(location("westeurope"), "westeurope");
    }

    proptest! {
        /// What an editor is told by the schema and what is checked are one rule.
        #[test]
        fn the_pattern_and_the_check_agree(
            rule in prop::sample::select(RULES.as_slice()),
            name in prop_oneof!["[a-zA-Z0-9._()-]{0,40}", ".{0,12}", "[a-z0-9-]{1,70}",
                "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11,13}"],
        ) {
            let (least, most) = rule.length;
            let count = name.chars().count();
            let pattern = Regex::new(rule.pattern).unwrap();
            // `$` also matches before a last line feed; a name has none.
            let fits = count >= least && count <= most && pattern.is_match(&name) && !name.contains('\n');
            prop_assert_eq!(rule.refuses(&name).is_none(), fits, "{:?} as {}", name, rule.what);
        }

        #[test]
        fn names_made_up_are_accepted(base in "[A-Za-z0-9_-]{1,40}", subscription in ".{0,40}", group in "[a-z-]{1,90}") {
            let account = unique(&base, &subscription, &group, 24);
            prop_assert_eq!(STORAGE_ACCOUNT.refuses(&account), None);
            let registry = unique(&base, &subscription, &group, 50);
            prop_assert_eq!(REGISTRY.refuses(&registry), None);
            prop_assert_eq!(unique(&base, &subscription, &group, 24), account);
        }

        #[test]
        fn a_prefix_is_a_dns_label(cluster in "[A-Za-z0-9]([A-Za-z0-9_-]{0,40}[a-z0-9])?", group in "[A-Za-z0-9_().-]{0,40}[a-z]") {
            let prefix = dns_prefix(&cluster, &group);
            prop_assert!(LABEL.refuses(&prefix).is_none() && prefix.len() <= 54, "{}", prefix);
        }
    }
}
