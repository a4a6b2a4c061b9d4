#!/usr/bin/env bash
# Azure's own command line on the lab's Azure, from nothing to nothing.
#
#     tests/azure_sdk/az.sh [target/debug/aks-tui]
#
# Makes its own environment in target/azure-cli (or $AKS_TUI_AZURE_CLI): a download of
# about 300 MB, so it is run by hand and not with the other tests. Touches neither your
# az configuration nor your keys. Takes about three minutes once az is there; ends with 0
# if everything held.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${1:-$here/../../target/debug/aks-tui}
venv=${AKS_TUI_AZURE_CLI:-$here/../../target/azure-cli}
wanted=2.91.0
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
[ -x "$venv/bin/az" ] || "$venv/bin/pip" install -q --disable-pip-version-check "azure-cli==$wanted"

dir=$(mktemp -d)
lab=
finish() {
    [ -z "$lab" ] || { kill "$lab" && wait "$lab"; } 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

"$program" lab --state "$dir/state" --azure --azure-time-scale 100 >"$dir/ready" 2>"$dir/trouble" &
lab=$!
until [ -s "$dir/ready" ]; do
    kill -0 "$lab" || { cat "$dir/trouble" >&2; exit 1; }
    sleep 0.1
done
about() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/state/azure.json" "$1"; }

export HOME=$dir AZURE_CONFIG_DIR=$dir/az AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_NO_COLOR=true
export AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no NO_PROXY=localhost,127.0.0.1 no_proxy=localhost,127.0.0.1
REQUESTS_CA_BUNDLE=$(about certificate_authority)
export REQUESTS_CA_BUNDLE
base=$(about resource_manager)

az() { echo "+ az $(printf "%s " "${@:1:3}")…" >&2; "$venv/bin/az" "$@"; }
# What a command prints must be this.
says() {
    local expected=$1 said
    shift
    said=$(az "$@" -o tsv)
    [ "$said" = "$expected" ] || { echo "expected: $expected; said: $said" >&2; exit 1; }
}
# A command must be refused with this in its words.
refused() {
    local expected=$1 said
    shift
    if said=$(az "$@" 2>&1); then echo "this was not refused" >&2; exit 1; fi
    case $said in *"$expected"*) ;; *) echo "expected: $expected; said: $said" >&2; exit 1 ;; esac
}

az cloud register -n lab --skip-endpoint-discovery --endpoint-resource-manager "$base" \
    --endpoint-active-directory "$base" --endpoint-active-directory-resource-id "$base" \
    --endpoint-active-directory-graph-resource-id "$base" --endpoint-management "$base" \
    --endpoint-microsoft-graph-resource-id "$base" --suffix-storage-endpoint core.local \
    --suffix-acr-login-server-endpoint .azurecr.local
az cloud set -n lab
az config set core.instance_discovery=false --only-show-errors
az login --service-principal -u "$(about client_id)" -p "$(about client_secret)" --tenant "$(about tenant)" -o none
says "$(about subscription)" account show --query id

# --- group -------------------------------------------------------------------
says Succeeded group create -n azg -l eastus --tags made=by-az --query properties.provisioningState
says true group exists -n azg
refused ResourceGroupNotFound group show -n nowhere

# --- deployment: the template that we ship ---------------------------------------
template=$here/../../assets/arm/testbed.json
python3 - "$template" "$dir/parameters.json" <<'PYTHON'
import json, sys
values = {"location": "eastus", "storageAccount": "azstorage", "shares": [{"name": "logs", "quota": 80}], "registry": "azregistry",
          "pullAssignment": "11111111-2222-3333-4444-555555555555", "cluster": "azc", "dnsPrefix": "azc", "nodes": 1}
known = json.load(open(sys.argv[1]))["parameters"]
assert set(values) <= set(known), set(values) - set(known)
json.dump({"parameters": {name: {"value": value} for name, value in values.items()}}, open(sys.argv[2], "w"))
PYTHON
deploy=(-g azg -n first -f "$template" -p "@$dir/parameters.json")
az deployment group validate "${deploy[@]}" -o none
az deployment group what-if "${deploy[@]}" --no-pretty-print -o json >"$dir/what-if.json"
python3 - "$dir/what-if.json" <<'PYTHON'
import json, sys
changes = json.load(open(sys.argv[1]))["changes"]
assert len(changes) == 5 and {it["changeType"] for it in changes} == {"Create"}, changes
PYTHON
says Succeeded deployment group create "${deploy[@]}" --query properties.provisioningState
az deployment group what-if "${deploy[@]}" >"$dir/what-if.txt"
says 5 deployment operation group list -g azg -n first --query "length([?properties.provisioningOperation=='Create'])"

# --- clusters ------------------------------------------------------------------
says Succeeded aks show -g azg -n azc --query provisioningState
az aks get-credentials -g azg -n azc -f "$dir/kubeconfig" --only-show-errors
grep -q '^kind: Config' "$dir/kubeconfig"
says 2 aks scale -g azg -n azc --node-count 2 --query 'agentPoolProfiles[0].count'
az aks stop -g azg -n azc
says Stopped aks show -g azg -n azc --query powerState.code
az aks start -g azg -n azc
says Running aks show -g azg -n azc --query powerState.code
says nodepool1 aks nodepool list -g azg --cluster-name azc --query '[0].name'

# --- machines -------------------------------------------------------------------
nodes=$(az aks show -g azg -n azc --query nodeResourceGroup -o tsv)
set=$(az vmss list -g "$nodes" --query '[0].name' -o tsv)
power() { az vmss get-instance-view -g "$nodes" -n "$set" --instance-id 0 --query "statuses[?starts_with(code, 'PowerState')].code" -o tsv; }
for action in deallocate start restart stop start; do
    az vmss "$action" -g "$nodes" -n "$set" --instance-ids 0 -o none
    case $action in
        deallocate) [ "$(power)" = PowerState/deallocated ] ;;
        stop) [ "$(power)" = PowerState/stopped ] ;;
        *) [ "$(power)" = PowerState/running ] ;;
    esac
done
az vmss reimage -g "$nodes" -n "$set" --instance-ids 0 -o none

# --- storage ----------------------------------------------------------------------
says AlreadyExists storage account check-name -n azstorage --query reason
says Succeeded storage account create -g azg -n azother -l eastus --sku Standard_LRS --query provisioningState
says 2 storage account keys list -g azg -n azother --query 'length(@)'
says 10 storage share-rm create -g azg --storage-account azother -n more -q 10 --query shareQuota
says logs storage share-rm list -g azg --storage-account azstorage --query '[0].name'
az storage account delete -g azg -n azother --yes

# --- registry ----------------------------------------------------------------------
says false acr check-name -n azregistry --query nameAvailable
says azregistry.azurecr.io acr show -g azg -n azregistry --query loginServer
says Succeeded acr create -g azg -n azotherreg --sku Basic --query provisioningState
az acr update -g azg -n azotherreg --admin-enabled true -o none
says 2 acr credential show -g azg -n azotherreg --query 'length(passwords)'
az acr delete -g azg -n azotherreg --yes

# --- roles and locks --------------------------------------------------------------------
registry=$(az acr show -g azg -n azregistry --query id -o tsv)
says AcrPull role assignment list --scope "$registry" --query '[0].roleDefinitionName'
kubelet=$(az aks show -g azg -n azc --query identityProfile.kubeletidentity.objectId -o tsv)
az role assignment delete --ids "$registry/providers/Microsoft.Authorization/roleAssignments/11111111-2222-3333-4444-555555555555"
az role assignment create --role AcrPull --scope "$registry" --assignee-object-id "$kubelet" --assignee-principal-type ServicePrincipal -o none
says 1 role assignment list --scope "$registry" --query 'length(@)'
az lock create -g azg -n keep --lock-type CanNotDelete -o none
refused ScopeLocked group delete -n azg --yes
az lock delete -g azg -n keep

# --- and nothing -------------------------------------------------------------------------
az aks delete -g azg -n azc --yes
refused ResourceNotFound aks show -g azg -n azc
az group delete -n azg --yes
says false group exists -n azg
echo everything held
