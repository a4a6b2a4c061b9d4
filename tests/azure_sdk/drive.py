"""Drives the lab's Azure with Azure's own packages, from nothing to nothing.

    python drive.py STATE/azure.json

Ends with 0 if everything held.
"""

import gzip
import io
import json
import sys
import tarfile
import urllib.request
import ssl
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.containerregistrytasks import ContainerRegistryTasksMgmtClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.monitor import MonitorManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.locks import ManagementLockClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.storage import StorageManagementClient

with open(sys.argv[1], encoding="utf-8") as file:
    ABOUT = json.load(file)
SUBSCRIPTION = ABOUT["subscription"]
GROUP = "sdk"
PULL = "7f951dda-4ed3-4680-a7ca-43fe172d538d"

CREDENTIAL = ClientSecretCredential(
    ABOUT["tenant"],
    ABOUT["client_id"],
    ABOUT["client_secret"],
    authority=ABOUT["authority"],
    connection_verify=ABOUT["certificate_authority"],
    disable_instance_discovery=True,
)


def client(kind, *arguments, **more):
    return kind(
        CREDENTIAL,
        *arguments,
        base_url=ABOUT["resource_manager"],
        credential_scopes=[ABOUT["resource_manager"] + "/.default"],
        connection_verify=ABOUT["certificate_authority"],
        polling_interval=1,
        **more,
    )


def refused(code, action):
    """An action must be refused with this code."""
    try:
        action()
    except HttpResponseError as error:
        assert error.error and error.error.code == code, (code, error)
        return error
    raise AssertionError(f"{code} was expected")


def step(name):
    print(f"- {name}", flush=True)


def subscription_and_group():
    step("subscription, regions, providers, group")
    subscriptions = client(SubscriptionClient)
    (only,) = subscriptions.subscriptions.list()
    assert only.subscription_id == SUBSCRIPTION
    assert "eastus" in {it.name for it in subscriptions.subscriptions.list_locations(SUBSCRIPTION)}
    resources = client(ResourceManagementClient, SUBSCRIPTION)
    assert resources.providers.get("Microsoft.ContainerService").registration_state == "Registered"
    assert not resources.resource_groups.check_existence(GROUP)
    made = resources.resource_groups.create_or_update(GROUP, {"location": "eastus", "tags": {"a": "b"}})
    assert made.properties.provisioning_state == "Succeeded"
    assert resources.resource_groups.check_existence(GROUP)
    refused(
        "InvalidResourceGroupLocation",
        lambda: resources.resource_groups.create_or_update(GROUP, {"location": "westus2"}),
    )


TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "parameters": {
        "location": {"type": "string", "defaultValue": "[resourceGroup().location]"},
        "storage": {"type": "string", "minLength": 3, "maxLength": 24},
        "shares": {"type": "array"},
        "registry": {"type": "string"},
        "cluster": {"type": "string"},
        "nodes": {"type": "int", "defaultValue": 1, "minValue": 1},
        "tags": {"type": "object", "defaultValue": {}},
    },
    "variables": {"role": f"[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{PULL}')]"},
    "resources": [
        {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": "2025-08-01",
            "name": "[parameters('storage')]",
            "location": "[parameters('location')]",
            "tags": "[parameters('tags')]",
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "properties": {"minimumTlsVersion": "TLS1_2", "allowSharedKeyAccess": True},
        },
        {
            "type": "Microsoft.Storage/storageAccounts/fileServices/shares",
            "apiVersion": "2025-08-01",
            "name": "[format('{0}/default/{1}', parameters('storage'), parameters('shares')[copyIndex()])]",
            "copy": {"name": "shares", "count": "[length(parameters('shares'))]"},
            "dependsOn": ["[resourceId('Microsoft.Storage/storageAccounts', parameters('storage'))]"],
            "properties": {"shareQuota": 80, "enabledProtocols": "SMB"},
        },
        {
            "type": "Microsoft.ContainerRegistry/registries",
            "apiVersion": "2025-11-01",
            "name": "[parameters('registry')]",
            "location": "[parameters('location')]",
            "tags": "[parameters('tags')]",
            "sku": {"name": "Basic"},
            "properties": {"adminUserEnabled": False},
        },
        {
            "type": "Microsoft.ContainerService/managedClusters",
            "apiVersion": "2026-06-01",
            "name": "[parameters('cluster')]",
            "location": "[parameters('location')]",
            "tags": "[parameters('tags')]",
            "identity": {"type": "SystemAssigned"},
            "sku": {"name": "Base", "tier": "Free"},
            "properties": {
                "dnsPrefix": "[parameters('cluster')]",
                "agentPoolProfiles": [
                    {
                        "name": "nodepool1",
                        "count": "[parameters('nodes')]",
                        "vmSize": "Standard_D2s_v5",
                        "mode": "System",
                        "osType": "Linux",
                        "type": "VirtualMachineScaleSets",
                    }
                ],
            },
        },
        {
            "type": "Microsoft.Authorization/roleAssignments",
            "apiVersion": "2022-04-01",
            "scope": "[resourceId('Microsoft.ContainerRegistry/registries', parameters('registry'))]",
            "name": "[guid(resourceId('Microsoft.ContainerRegistry/registries', parameters('registry')),"
            " resourceId('Microsoft.ContainerService/managedClusters', parameters('cluster')), variables('role'))]",
            "dependsOn": [
                "[resourceId('Microsoft.ContainerRegistry/registries', parameters('registry'))]",
                "[resourceId('Microsoft.ContainerService/managedClusters', parameters('cluster'))]",
            ],
            "properties": {
                "roleDefinitionId": "[variables('role')]",
                "principalId": "[reference(resourceId('Microsoft.ContainerService/managedClusters',"
                " parameters('cluster')), '2026-06-01').identityProfile.kubeletidentity.objectId]",
                "principalType": "ServicePrincipal",
            },
        },
    ],
    "outputs": {
        "loginServer": {
            "type": "string",
            "value": "[reference(resourceId('Microsoft.ContainerRegistry/registries', parameters('registry'))).loginServer]",
        },
        "clusterId": {
            "type": "string",
            "value": "[resourceId('Microsoft.ContainerService/managedClusters', parameters('cluster'))]",
        },
    },
}


def properties(**more):
    values = {
        "storage": "sdkstorage1",
        "shares": ["one", "two"],
        "registry": "sdkregistry",
        "cluster": "sdk",
        "tags": {"app": "sdk"},
        **more,
    }
    return {
        "mode": "Incremental",
        "template": TEMPLATE,
        "parameters": {name: {"value": value} for name, value in values.items()},
    }


def deployment():
    step("validate, what-if, deployment")
    deployments = client(DeploymentsMgmtClient, SUBSCRIPTION).deployments
    bad = properties()
    del bad["parameters"]["cluster"]
    refused("InvalidTemplate", lambda: deployments.begin_validate(GROUP, "first", {"properties": bad}).result())
    deployments.begin_validate(GROUP, "first", {"properties": properties()}).result()
    before = deployments.begin_what_if(GROUP, "first", {"properties": properties()}).result()
    kinds = {it.resource_id.rsplit("/", 2)[-2]: it.change_type for it in before.changes}
    assert len(before.changes) == 6 and set(kinds.values()) == {"Create"}, kinds

    poller = deployments.begin_create_or_update(GROUP, "first", {"properties": properties()})
    done = poller.result()
    assert done.properties.provisioning_state == "Succeeded", done
    outputs = done.properties.outputs
    assert outputs["loginServer"]["value"] == "sdkregistry.azurecr.io", outputs
    operations = client(DeploymentsMgmtClient, SUBSCRIPTION).deployment_operations
    seen = [it.properties for it in operations.list(GROUP, "first")]
    assert {it.provisioning_state for it in seen} == {"Succeeded"}
    assert sum(it.provisioning_operation == "Create" for it in seen) == 6, seen
    assert any(it.provisioning_operation == "EvaluateDeploymentOutput" for it in seen)

    changed = properties(tags={"app": "other"}, nodes=2)
    after = deployments.begin_what_if(GROUP, "first", {"properties": changed}).result()
    changes = {it.resource_id.lower(): it for it in after.changes}
    storage = next(it for id, it in changes.items() if id.endswith("/sdkstorage1"))
    assert storage.change_type == "Modify"
    assert [(it.path, it.property_change_type) for it in storage.delta] == [("tags.app", "Modify")], storage.delta
    share = next(it for id, it in changes.items() if id.endswith("/shares/one"))
    assert share.change_type == "NoChange", share


def storage():
    step("storage")
    storage = client(StorageManagementClient, SUBSCRIPTION)
    check = {"name": "sdkstorage1", "type": "Microsoft.Storage/storageAccounts"}
    assert storage.storage_accounts.check_name_availability(check).reason == "AlreadyExists"
    made = storage.storage_accounts.begin_create(
        GROUP, "sdkstorage2", {"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    ).result()
    assert made.provisioning_state == "Succeeded", made
    keys = storage.storage_accounts.list_keys(GROUP, "sdkstorage2").keys_property
    assert [it.key_name for it in keys] == ["key1", "key2"]
    storage.file_shares.create(GROUP, "sdkstorage2", "logs", {"properties": {"shareQuota": 80}})
    share = storage.file_shares.get(GROUP, "sdkstorage2", "logs", expand="stats")
    assert (share.share_quota, share.share_usage_bytes) == (80, 0), share
    storage.file_shares.delete(GROUP, "sdkstorage2", "logs")
    refused(
        "ShareBeingDeleted",
        lambda: storage.file_shares.create(GROUP, "sdkstorage2", "logs", {"properties": {"shareQuota": 80}}),
    )
    storage.storage_accounts.delete(GROUP, "sdkstorage2")
    names = {it.name for it in storage.storage_accounts.list_by_resource_group(GROUP)}
    assert names == {"sdkstorage1"}, names


def context(files):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as unpacked, tarfile.open(fileobj=unpacked, mode="w") as archive:
        for name, text in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(text)
            archive.addfile(about, io.BytesIO(text.encode()))
    return packed.getvalue()


def fetch(request):
    trust = ssl.create_default_context(cafile=ABOUT["certificate_authority"])
    return urllib.request.urlopen(request, context=trust)


def build(tasks, files):
    upload = tasks.registries.get_build_source_upload_url(GROUP, "sdkregistry")
    request = urllib.request.Request(
        upload.upload_url, data=context(files), method="PUT", headers={"x-ms-blob-type": "BlockBlob"}
    )
    assert fetch(request).status == 201
    run = tasks.registries.schedule_run(
        GROUP,
        "sdkregistry",
        {
            "type": "DockerBuildRequest",
            "imageNames": ["aks-tui/perftest:1"],
            "isPushEnabled": True,
            "dockerFilePath": "Dockerfile",
            "platform": {"os": "Linux", "architecture": "amd64"},
            "sourceLocation": upload.relative_path,
        },
    )
    if hasattr(run, "result"):
        run = run.result()
    while run.properties.status in ("Queued", "Started", "Running"):
        run = tasks.runs.get(GROUP, "sdkregistry", run.name)
    link = tasks.runs.get_log_sas_url(GROUP, "sdkregistry", run.name).log_link
    with fetch(link) as log:
        assert log.headers["x-ms-meta-complete"], log.headers
        return run.properties, log.read().decode()


def registry():
    step("registry and builds")
    registries = client(ContainerRegistryManagementClient, SUBSCRIPTION).registries
    assert registries.get(GROUP, "sdkregistry").login_server == "sdkregistry.azurecr.io"
    refused("UnAuthorizedForCredentialOperations", lambda: registries.list_credentials(GROUP, "sdkregistry"))
    tasks = client(ContainerRegistryTasksMgmtClient, SUBSCRIPTION)
    run, log = build(tasks, {"Dockerfile": "FROM scratch\n# nothing\nCOPY a /\n", "a": "x"})
    assert run.status == "Succeeded", (run, log)
    assert run.output_images[0].repository == "aks-tui/perftest", run
    assert "Step 2/2 : COPY a /" in log, log
    run, log = build(tasks, {"a": "x"})
    assert run.status == "Failed" and "no such file" in run.run_error_message, run


def cluster():
    step("cluster, machines, roles")
    aks = client(ContainerServiceClient, SUBSCRIPTION)
    there = aks.managed_clusters.get(GROUP, "sdk")
    assert there.properties.power_state.code == "Running"
    identity = there.properties.identity_profile["kubeletidentity"].object_id
    authorization = client(AuthorizationManagementClient, SUBSCRIPTION)
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ContainerRegistry/registries/sdkregistry"
    given = [it for it in authorization.role_assignments.list_for_scope(scope, filter="atScope()")]
    assert [(it.principal_id, it.role_definition_id[-36:]) for it in given] == [(identity, PULL)], given
    other = {
        "role_definition_id": given[0].role_definition_id,
        "principal_id": identity,
        "principal_type": "ServicePrincipal",
    }
    refused(
        "RoleAssignmentExists",
        lambda: authorization.role_assignments.create(scope, str(uuid.uuid4()), {"properties": {
            "roleDefinitionId": other["role_definition_id"], "principalId": identity,
            "principalType": "ServicePrincipal"}}),
    )
    pools = {it.name: it for it in aks.agent_pools.list(GROUP, "sdk")}
    assert pools["nodepool1"].properties.count == 1
    (machine,) = aks.machines.list(GROUP, "sdk", "nodepool1")
    parts = machine.properties.resource_id.split("/")
    group, vmss, number = parts[4], parts[8], parts[10]
    compute = client(ComputeManagementClient, SUBSCRIPTION)
    machines = compute.virtual_machine_scale_set_vms

    def power():
        return machines.get_instance_view(group, vmss, number).statuses[1].code

    assert power() == "PowerState/running"
    machines.begin_power_off(group, vmss, number).result()
    assert power() == "PowerState/stopped"
    machines.begin_deallocate(group, vmss, number).result()
    assert power() == "PowerState/deallocated"
    machines.begin_start(group, vmss, number).result()
    machines.begin_restart(group, vmss, number).result()
    machines.begin_reimage(group, vmss, number).result()
    assert power() == "PowerState/running"
    found = aks.managed_clusters.list_cluster_user_credentials(GROUP, "sdk").kubeconfigs
    assert b"current-context" in found[0].value
    aks.managed_clusters.begin_stop(GROUP, "sdk").result()
    assert aks.managed_clusters.get(GROUP, "sdk").properties.power_state.code == "Stopped"
    aks.managed_clusters.begin_start(GROUP, "sdk").result()
    pool = aks.agent_pools.get(GROUP, "sdk", "nodepool1")
    pool.properties.count = 2
    assert aks.agent_pools.begin_create_or_update(GROUP, "sdk", "nodepool1", pool).result().properties.count == 2
    usages = {it.name.value: it for it in compute.usage.list("eastus")}
    assert usages["cores"].current_value == 4, usages
    sizes = compute.resource_skus.list(filter="location eq 'eastus'")
    assert any(it.name == "Standard_D2s_v5" and not it.restrictions for it in sizes)


def clean():
    step("locks, activity, deletion")
    locks = client(ManagementLockClient, SUBSCRIPTION).management_locks
    resources = client(ResourceManagementClient, SUBSCRIPTION)
    locks.create_or_update_at_resource_group_level(GROUP, "keep", {"properties": {"level": "CanNotDelete"}})
    refused("ScopeLocked", lambda: resources.resource_groups.begin_delete(GROUP).result())
    locks.delete_at_resource_group_level(GROUP, "keep")
    monitor = client(MonitorManagementClient, SUBSCRIPTION)
    entries = monitor.activity_logs.list(filter=f"eventTimestamp ge '2020-01-01T00:00:00Z' and resourceGroupName eq '{GROUP}'")
    assert any(it.operation_name.value == "Microsoft.ContainerService/managedClusters/write" for it in entries)
    inside = {it.name for it in resources.resources.list_by_resource_group(GROUP)}
    assert inside == {"sdkstorage1", "sdkregistry", "sdk"}, inside
    aks = client(ContainerServiceClient, SUBSCRIPTION)
    aks.managed_clusters.begin_delete(GROUP, "sdk").result()
    try:
        aks.managed_clusters.get(GROUP, "sdk")
        raise AssertionError("the cluster is still there")
    except ResourceNotFoundError:
        pass
    resources.resource_groups.begin_delete(GROUP).result()
    assert [it.name for it in resources.resource_groups.list()] == []


subscription_and_group()
deployment()
storage()
registry()
cluster()
clean()
print("everything held")
