"""Writes operations.json: what Azure's own packages send.

For every operation of theirs that is about something the lab's Azure has: the
package, its name, the method, the path, the version of the API, and the
properties that its body must have. A property below another has a dot between,
one of a list's items has brackets: `properties.agentPoolProfiles[].name`. It is
required where what it is below is there.

    python tests/azure_sdk/extract.py > tests/azure_sdk/operations.json
"""

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys

PACKAGES = [
    "azure.mgmt.authorization.v2022_04_01",
    "azure.mgmt.compute",
    "azure.mgmt.containerregistry",
    "azure.mgmt.containerregistrytasks",
    "azure.mgmt.containerservice",
    "azure.mgmt.monitor",
    "azure.mgmt.resource.deployments",
    "azure.mgmt.resource.locks",
    "azure.mgmt.resource.resources",
    "azure.mgmt.resource.subscriptions",
    "azure.mgmt.storage",
]

# Where the program speaks an older version, as Azure's own command line does. These
# packages are in a directory of their own (venv.sh): both cannot be in one.
OLDER = [
    "azure.mgmt.compute.v2024_11_01",
    "azure.mgmt.containerregistry.v2019_04_01",
    "azure.mgmt.containerservice",
    "azure.mgmt.resource.locks.v2016_09_01",
    "azure.mgmt.resource.resources.v2024_11_01",
    "azure.mgmt.resource.resources.v2025_04_01",
    "azure.mgmt.storage",
]

# What the lab's Azure has something of.
ABOUT = re.compile(
    r"""(?ix)
    ^/subscriptions(/\{subscriptionId\}(/locations|/providers(/\{resourceProviderNamespace\}(/register)?)?|/resources|/tagNames)?)?$
    | ^/tenants$
    | ^/subscriptions/\{subscriptionId\}/resourcegroups(/\{resourceGroupName\}(/resources)?)?$
    | ^/subscriptions/\{subscriptionId\}/resourcegroups/\{resourceGroupName\}(/providers/Microsoft\.Resources)?/deployments
    | /providers/Microsoft\.Resources/tags/default$
    | /providers/Microsoft\.Storage/(checkNameAvailability|locations/\{location\}/usages|storageAccounts)$
    | /providers/Microsoft\.Storage/storageAccounts/\{accountName\}(/(listKeys|regenerateKey|fileServices.*))?$
    | /providers/Microsoft\.ContainerRegistry/(checkNameAvailability|registries)$
    | /providers/Microsoft\.ContainerRegistry/registries/\{registryName\}(/(listCredentials|listBuildSourceUploadUrl|scheduleRun|runs.*))?$
    | /providers/Microsoft\.ContainerService/managedClusters(/\{resourceName\}(/(agentPools.*|listCluster(User|Admin)Credential|start|stop|abort|rotateClusterCertificates))?)?$
    | /providers/Microsoft\.ContainerService/locations/\{location\}/kubernetesVersions$
    | /providers/Microsoft\.Compute/(skus|locations/\{location\}/usages|virtualMachineScaleSets)$
    | /providers/Microsoft\.Compute/virtualMachineScaleSets/
    | /providers/Microsoft\.Authorization/(roleAssignments|roleDefinitions|locks|permissions|denyAssignments)
    | /providers/Microsoft\.Insights/eventtypes/management/values$
    """
)


def modules(package):
    """The modules of a package that build requests, not the asynchronous twins."""
    root = importlib.import_module(package + ".operations")
    for found in pkgutil.iter_modules(root.__path__):
        if found.name.endswith("_operations"):
            yield importlib.import_module(f"{root.__name__}.{found.name}")


def request(builder):
    """Method, path and version of a function that builds a request."""
    text = inspect.getsource(builder)
    path = re.search(r'_url = (?:kwargs\.pop\(\s*"template_url",\s*)?\(?\s*((?:"[^"]*"\s*)+)', text)
    method = re.search(r'HttpRequest\(method="([A-Z]+)"', text)
    version = re.search(r'"api[-_]version", "([^"]+)"', text)
    if not (path and method and version):
        return None
    joined = "".join(re.findall(r'"([^"]*)"', path.group(1)))
    return method.group(1), joined, version.group(1)


def required(model, module, depth=0, seen=()):
    """The properties that a body of this model must have."""
    if depth > 4 or model in seen:
        return []
    seen = (*seen, model)
    found = []
    if hasattr(model, "_validation"):
        for name, about in model._attribute_map.items():
            rule = model._validation.get(name, {})
            if rule.get("readonly"):
                continue
            rest = about["key"].replace("\\.", ".")
            if rule.get("required"):
                found.append(rest)
            shape = re.fullmatch(r"([\[{]?)(\w+)[\]}]?", about["type"])
            inner = shape and getattr(importlib.import_module(module + ".models"), shape.group(2), None)
            if inspect.isclass(inner):
                mark = {"[": "[]", "{": ".*", "": ""}[shape.group(1)]
                found += [f"{rest}{mark}.{it}" for it in required(inner, module, depth + 1, seen)]
        return found
    hints, fields = {}, {}
    for base in reversed(model.__mro__):
        hints.update(base.__dict__.get("__annotations__", {}))
        fields.update({k: v for k, v in vars(base).items() if type(v).__name__ == "_RestField"})
    for name, field in fields.items():
        if name not in hints or field._visibility == ["read"]:
            continue
        hint = str(hints[name])
        rest = field._rest_name_input or name
        if "Optional" not in hint and "NoneType" not in hint:
            found.append(rest)
        inner = re.search(r"_models\.(?:_models\.)?(\w+)", hint) or re.search(r"models\._models\.(\w+)", hint)
        inner = inner and getattr(importlib.import_module(module + ".models"), inner.group(1), None)
        if inspect.isclass(inner):
            mark = "[]" if re.search(r"\blist\[", hint, re.I) else ".*" if re.search(r"\bdict\[", hint, re.I) else ""
            found += [f"{rest}{mark}.{it}" for it in required(inner, module, depth + 1, seen)]
    return found


def body(group, method, package):
    """The model of an operation's body, if it takes one."""
    for name in (method, "begin_" + method):
        operation = getattr(group, name, None)
        if operation is None:
            continue
        text = inspect.getsource(operation)
        model = re.search(r":type (?:parameters|body|run_request|resource|role_assignment|\w+): ~[\w.]*models\.(\w+)", text)
        found = model and getattr(importlib.import_module(package + ".models"), model.group(1), None)
        if inspect.isclass(found):
            return found
    return None


def operations(package):
    for module in modules(package):
        groups = {
            re.sub(r"(?<!^)(?=[A-Z])", "_", name[: -len("Operations")]).lower(): it
            for name, it in vars(module).items()
            if inspect.isclass(it) and name.endswith("Operations")
        }
        for name, builder in vars(module).items():
            match = re.fullmatch(r"build_(\w+)_request", name)
            sent = match and request(builder)
            if not sent:
                continue
            method, path, version = sent
            if not path.startswith("/"):
                path = "/" + path
            if not ABOUT.search(path):
                continue
            # Where a module has one group, its name is not in those of its builders.
            owners = [it for it in groups if match.group(1).startswith(it + "_")]
            owner = max(owners, key=len, default=None)
            short = match.group(1)[len(owner) + 1 :] if owner else match.group(1)
            if owner is None and len(groups) == 1:
                (owner,) = groups
            needs = []
            if owner and method in ("PUT", "POST", "PATCH"):
                model = body(groups[owner], short, package)
                needs = sorted(set(required(model, package))) if model else []
            yield {
                "package": package,
                "operation": match.group(1),
                "method": method,
                "path": path,
                "api_version": version,
                "required": needs,
            }


def older():
    """The same of the older packages, which another process must load."""
    place = os.path.join(sys.prefix, "older")
    there = {**os.environ, "PYTHONPATH": place}
    ran = subprocess.run(
        [sys.executable, __file__, "--older"], env=there, stdout=subprocess.PIPE, check=True, encoding="utf-8"
    )
    return json.loads(ran.stdout)


def main():
    packages = OLDER if "--older" in sys.argv else PACKAGES
    everything = [it for package in packages for it in operations(package)]
    if packages is PACKAGES:
        everything += older()
    everything.sort(key=lambda it: (it["path"].lower(), it["method"], it["package"], it["api_version"], it["operation"]))
    json.dump(everything, sys.stdout, indent=1)
    print()


main()
