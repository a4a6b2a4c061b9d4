//! Services: the addresses and ports that the server gives out.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::frame::{Case, case, refusal};

async fn create(case: &Case, name: &str, spec: Value) -> Result<Service, kube::Error> {
    let services: Api<Service> = case.api();
    let object = json!({"metadata": {"name": name}, "spec": spec});
    let object = serde_json::from_value(object).unwrap();
    services.create(&PostParams::default(), &object).await
}

#[test]
fn every_service_gets_an_address_of_its_own_and_keeps_it() {
    case("addresses", async |case| {
        let services: Api<Service> = case.api();
        let ports = json!([{"port": 80}]);
        let one = create(case, "one", json!({"ports": ports})).await.unwrap();
        let two = create(case, "two", json!({"ports": ports})).await.unwrap();
        let address =
            |service: &Service| service.spec.as_ref().unwrap().cluster_ip.clone().unwrap();
        assert_ne!(address(&one), address(&two));
        assert!(address(&one).parse::<std::net::IpAddr>().is_ok());
        let spec = one.spec.as_ref().unwrap();
        assert_eq!(spec.type_.as_deref(), Some("ClusterIP"));
        assert_eq!(spec.cluster_ips.as_deref(), Some(&[address(&one)][..]));

        let moved = Patch::Merge(json!({"spec": {"clusterIP": address(&two), "clusterIPs": null}}));
        let answer = services.patch("one", &PatchParams::default(), &moved).await;
        assert_eq!(refusal(answer).0, 422);
        let taken = create(
            case,
            "three",
            json!({"clusterIP": address(&one), "ports": ports}),
        )
        .await;
        let (code, message) = refusal(taken);
        assert_eq!(code, 422);
        assert!(
            message.contains("provided IP is already allocated"),
            "{message}"
        );
    });
}

#[test]
fn a_headless_service_and_a_name_have_no_address() {
    case("headless", async |case| {
        let headless = create(case, "h", json!({"clusterIP": "None"}))
            .await
            .unwrap();
        let spec = headless.spec.unwrap();
        assert_eq!(spec.cluster_ip.as_deref(), Some("None"));
        let name = json!({"type": "ExternalName", "externalName": "example.com"});
        let name = create(case, "n", name).await.unwrap();
        assert!(name.spec.unwrap().cluster_ip.is_none_or(|it| it.is_empty()));
    });
}

#[test]
fn node_ports_come_and_go_with_the_type() {
    case("node-ports", async |case| {
        let services: Api<Service> = case.api();
        let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
        create(case, "s", spec).await.unwrap();
        let port = async || {
            let service = services.get("s").await.unwrap();
            service.spec.unwrap().ports.unwrap()[0].node_port
        };
        let given = port().await.unwrap();
        assert!((30000..=32767).contains(&given), "{given}");
        let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": given}]});
        let (code, message) = refusal(create(case, "t", spec).await);
        assert_eq!(code, 422);
        assert!(
            message.contains("provided port is already allocated"),
            "{message}"
        );
        let inside = Patch::Merge(json!({"spec": {"type": "ClusterIP"}}));
        services
            .patch("s", &PatchParams::default(), &inside)
            .await
            .unwrap();
        assert_eq!(port().await, None);
    });
}
