"""The style of every view: JupyterLab's own colours where they are, else those of the system's light or dark theme."""

from __future__ import annotations

import re


def _compact(css: str) -> str:
    return re.sub(r"\s*([{};:,>])\s*", r"\1", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)).strip()


def _palette(**fallbacks: str) -> str:
    # JupyterLab and nbconvert define --jp-*, VS Code --vscode-*; other front ends get the fallback.
    known = {
        "fg": "var(--jp-content-font-color1,var(--vscode-foreground,{}))",
        "muted": "var(--jp-content-font-color2,var(--vscode-descriptionForeground,{}))",
        "line": "var(--jp-border-color2,var(--vscode-panel-border,{}))",
        "raised": "var(--jp-layout-color2,var(--vscode-textCodeBlock-background,{}))",
        "ok": "var(--jp-success-color1,var(--vscode-testing-iconPassed,{}))",
        "bad": "var(--jp-error-color1,var(--vscode-errorForeground,{}))",
        "busy": "var(--jp-brand-color1,var(--vscode-progressBar-background,{}))",
        "wait": "var(--jp-warn-color0,var(--vscode-editorWarning-foreground,{}))",
    }
    return ";".join(f"--gke-{name}:{known[name].format(value)}" for name, value in fallbacks.items())


_LIGHT = _palette(
    fg="#1f2328", muted="#59636e", line="#d1d9e0", raised="#f3f5f7",
    ok="#1a7f37", bad="#cf222e", busy="#0969da", wait="#9a6700",
)  # fmt: skip
_DARK = _palette(
    fg="#e6edf3", muted="#9198a1", line="#3d444d", raised="#1c2129",
    ok="#3fb950", bad="#f85149", busy="#58a6ff", wait="#d29922",
)  # fmt: skip

# The doubled class outweighs what a front end says of tables and lists in rendered HTML.
STYLE = _compact(
    f"""
div.gke-nb{{{_LIGHT};color:var(--gke-fg);font-family:var(--jp-ui-font-family,system-ui,sans-serif);font-size:13px;
  line-height:1.5;border:1px solid var(--gke-line);border-radius:4px;padding:8px 12px;margin:2px 0;max-width:1100px}}
@media (prefers-color-scheme:dark){{div.gke-nb{{{_DARK}}}}}
.gke-nb.gke-nb .gke-head{{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline}}
.gke-nb.gke-nb .gke-kind{{color:var(--gke-muted);font-size:11px;letter-spacing:.06em}}
.gke-nb.gke-nb .gke-name{{font-weight:600;font-size:15px}}
.gke-nb.gke-nb .gke-muted{{color:var(--gke-muted)}}
.gke-nb.gke-nb .gke-badge{{border:1px solid currentColor;border-radius:9px;padding:0 8px;font-size:12px}}
.gke-nb.gke-nb .gke-sep{{display:none}}
.gke-nb.gke-nb .gke-ok{{color:var(--gke-ok)}}
.gke-nb.gke-nb .gke-bad{{color:var(--gke-bad)}}
.gke-nb.gke-nb .gke-busy{{color:var(--gke-busy)}}
.gke-nb.gke-nb .gke-wait{{color:var(--gke-wait)}}
.gke-nb.gke-nb .gke-strip{{display:flex;gap:2px;margin:6px 0}}
.gke-nb.gke-nb .gke-strip>span.gke-part{{min-width:max-content;border-top:4px solid currentColor;
  padding:1px 10px 0 0;flex-basis:0}}
.gke-nb.gke-nb .gke-strip b{{color:var(--gke-fg);font-weight:normal;font-size:12px}}
.gke-nb.gke-nb .gke-line{{margin:3px 0;overflow-wrap:anywhere}}
.gke-nb.gke-nb .gke-scroll{{overflow:auto;max-height:260px;margin:4px 0}}
.gke-nb.gke-nb .gke-tall{{overflow-x:auto;margin:4px 0}}
.gke-nb.gke-nb table{{border-collapse:collapse;margin:0;font-size:12px;border:0;color:inherit}}
.gke-nb.gke-nb table th,.gke-nb.gke-nb table td{{text-align:left;padding:2px 14px 2px 0;border:0;vertical-align:top;
  max-width:520px;overflow-wrap:break-word;white-space:nowrap;color:inherit;background:none}}
.gke-nb.gke-nb table td:last-child{{white-space:normal}}
.gke-nb.gke-nb table tr,.gke-nb.gke-nb table tbody tr:nth-child(odd),.gke-nb.gke-nb table tbody tr:hover{{
  background:none}}
.gke-nb.gke-nb table th{{color:var(--gke-muted);font-weight:normal;border-bottom:1px solid var(--gke-line)}}
.gke-nb.gke-nb .gke-grid{{display:flex;flex-wrap:wrap;gap:2px;margin:5px 0}}
.gke-nb.gke-nb .gke-grid i{{width:10px;height:10px;border-radius:2px;background:currentColor;opacity:.85}}
.gke-nb.gke-nb pre,.gke-nb.gke-nb.gke-nb code{{font-family:var(--jp-code-font-family,ui-monospace,monospace);
  font-size:12px;margin:0;background:none;color:inherit;border:0;padding:0}}
.gke-nb.gke-nb pre{{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.4}}
.gke-nb.gke-nb .gke-log{{background:var(--gke-raised);max-height:320px;overflow:auto;padding:4px 8px;margin:4px 0;
  display:flex;flex-direction:column-reverse}}
.gke-nb.gke-nb .gke-lane{{display:grid;grid-template-columns:86px 1fr;gap:10px}}
.gke-nb.gke-nb .gke-lane>span{{color:var(--gke-muted);font-size:11px;line-height:17px;text-align:right;
  border-right:2px solid var(--gke-line);padding-right:8px}}
.gke-nb.gke-nb .gke-own>span{{border-right-color:var(--gke-busy)}}
.gke-nb.gke-nb .gke-fail{{border-left:3px solid var(--gke-bad);padding:2px 10px;margin:6px 0}}
.gke-nb.gke-nb .gke-fail pre{{max-height:320px;overflow:auto;margin-top:4px}}
.gke-nb.gke-nb summary{{cursor:pointer;color:var(--gke-muted)}}
.gke-nb.gke-nb dl{{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:4px 0;width:auto}}
.gke-nb.gke-nb dt{{color:var(--gke-muted);font-weight:normal;grid-column:1;white-space:nowrap;float:none;width:auto;
  margin:0}}
.gke-nb.gke-nb dd{{margin:0;grid-column:2;float:none;width:auto;overflow-wrap:anywhere}}
"""
)
