"""The kubeconfig file that leads kubectl, and us, to the sandbox."""

from __future__ import annotations

import base64

CONTEXT = "sandbox"


def render(server: str, authority_pem: str, token: str, namespace: str = "default") -> str:
    """Give the text of a kubeconfig file with one cluster, one user and one context, all named ``sandbox``.

    Args:
        server: the API server's URL.
        authority_pem: the certificate to trust.
        token: the bearer token.
        namespace: the namespace of the context.
    """
    import yaml

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(authority_pem.encode()).decode(),
                },
            }
        ],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": namespace}}],
    }
    return str(yaml.safe_dump(document, sort_keys=False))
