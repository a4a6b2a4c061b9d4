//! Which Azure: its addresses, and whom to trust.

use std::{fs, sync::Arc, time::Duration};

use azure_core::{
    cloud::{CloudConfiguration, CustomConfiguration},
    http::{ClientOptions, RetryOptions, Transport, Url},
};

use super::error::Failure;
use crate::core::azure::settings::{Azure, CloudName};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);

/// How long an answer may keep silent.
const READ: Duration = Duration::from_secs(60);

/// The addresses of one Azure.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// The resource manager.
    pub resource_manager: Url,
    /// The sign-in service.
    pub authority: String,
    /// What tokens for the resource manager are asked for.
    pub scope: String,
    /// The retail price list, if the cloud has one.
    pub prices: Option<Url>,
    /// The ending of storage accounts' names.
    pub storage_suffix: String,
    transport: Transport,
}

/// What the clouds of Microsoft are called on the network.
struct Known {
    resource_manager: &'static str,
    authority: &'static str,
    storage_suffix: &'static str,
    prices: &'static str,
}

const fn known(name: CloudName) -> Known {
    match name {
        CloudName::Government => Known {
            resource_manager: "https://management.usgovcloudapi.net",
            authority: "https://login.microsoftonline.us",
            storage_suffix: "core.usgovcloudapi.net",
            prices: "https://prices.azure.com/api/retail/prices",
        },
        CloudName::China => Known {
            resource_manager: "https://management.chinacloudapi.cn",
            authority: "https://login.chinacloudapi.cn",
            storage_suffix: "core.chinacloudapi.cn",
            prices: "",
        },
        CloudName::Public => Known {
            resource_manager: "https://management.azure.com",
            authority: "https://login.microsoftonline.com",
            storage_suffix: "core.windows.net",
            prices: "https://prices.azure.com/api/retail/prices",
        },
        CloudName::Custom => Known {
            resource_manager: "",
            authority: "",
            storage_suffix: "core.windows.net",
            prices: "",
        },
    }
}

impl Cloud {
    /// The cloud that `settings` names, with the addresses that they replace.
    pub fn of(settings: &Azure) -> Result<Self, Failure> {
        let known = known(settings.cloud);
        let custom = &settings.custom;
        let or = |given: &str, known: &str| if given.is_empty() { known } else { given }.to_owned();
        let resource_manager = url(
            "azure.custom.resource_manager",
            &or(&custom.resource_manager, known.resource_manager),
        )?;
        let audience = or(&custom.audience, resource_manager.as_str());
        let prices = or(&custom.prices, known.prices);
        Ok(Self {
            authority: or(&custom.authority, known.authority)
                .trim_end_matches('/')
                .to_owned(),
            scope: format!("{}/.default", audience.trim_end_matches('/')),
            prices: if prices.is_empty() {
                None
            } else {
                Some(url("azure.custom.prices", &prices)?)
            },
            storage_suffix: or(&custom.storage_suffix, known.storage_suffix),
            transport: transport(&resource_manager, &custom.certificate_authority)?,
            resource_manager,
        })
    }

    /// Options for pipelines to this cloud: its trust, its authority, and no
    /// retries behind our back.
    pub fn client_options(&self) -> ClientOptions {
        let mut custom = CustomConfiguration::default();
        custom.authority_host.clone_from(&self.authority);
        ClientOptions {
            transport: Some(self.transport.clone()),
            retry: RetryOptions::none(),
            cloud: Some(Arc::new(CloudConfiguration::Custom(custom))),
            ..ClientOptions::default()
        }
    }
}

fn url(key: &str, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| {
        Failure::new(
            "reach Azure",
            format!("{key} `{text}` is no address: {error}"),
        )
    })?;
    if url.scheme() != "https" {
        return Err(Failure::new(
            "reach Azure",
            format!("{key} `{text}` is not https: tokens are sent over TLS only"),
        ));
    }
    Ok(url)
}

fn transport(resource_manager: &Url, authority: &str) -> Result<Transport, Failure> {
    let failed = |why: String| Failure::new("prepare connections to Azure", why);
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .redirect(reqwest::redirect::Policy::none());
    if !authority.is_empty() {
        let pem = fs::read(authority).map_err(|error| {
            failed(format!(
                "azure.custom.certificate_authority {authority}: {error}"
            ))
        })?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| failed(format!("{authority} holds no certificates: {error}")))?;
        builder = builder.tls_certs_only(trusted);
    }
    // What runs on this machine is never reached through a proxy.
    if matches!(
        resource_manager.host_str(),
        Some("127.0.0.1" | "localhost" | "[::1]")
    ) {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(|error| failed(error.to_string()))?;
    Ok(Transport::new(Arc::new(client)))
}
