# ruff: noqa: E501 (lines of the page)
"""A figure with sliders that needs no kernel and no other file: one block of HTML, SVG and a few lines of script."""

import json
from itertools import count

_number = count()

TEMPLATE = """<figure class="interplay-explorer" id="@ID@" style="margin:1em 0;color:inherit">
<div style="display:flex;flex-wrap:wrap;gap:0.5em 2em;margin-bottom:0.5em">
<label>initial coupling g = <output name="g"></output><br>
<input type="range" name="g" min="0" max="@LASTG@" step="1" value="0" style="width:15em" aria-label="initial coupling g"></label>
<label>target &#7825; = <output name="target"></output><br>
<input type="range" name="target" min="0" max="@LASTT@" step="1" value="@MIDT@" style="width:10em" aria-label="target z-hat"></label>
</div>
<svg viewBox="0 0 720 270" role="img" aria-label="@ALT@" style="width:100%;height:auto;color:inherit;font:12px sans-serif" fill="currentColor">
<g fill="none" stroke="currentColor" stroke-width="1"><path d="M40 20V220H230M290 20V220H450M510 20V220H710"/>
<path d="M510 120H710M@ONE@ 20V220" stroke-dasharray="3 4" opacity="0.6"/></g>
<g text-anchor="middle"><text x="135" y="12">loss / loss of zero output</text><text x="370" y="12">singular values of dW</text>
<text x="610" y="12">eigenvalues of W</text><text x="135" y="255">epoch</text><text x="370" y="255">number</text><text x="610" y="255">real part (vertical: imaginary)</text>
@TICKS@</g><g class="axis" text-anchor="end">@YTICKS@</g>
<circle class="disk" cx="@ZERO@" cy="120" r="0" fill="currentColor" opacity="0.12"/>
<path class="loss" fill="none" stroke="#D55E00" stroke-width="2.5"/><g class="values" fill="#0072B2"></g>
<path class="cloud" fill="none" stroke="#009E73" stroke-width="3.4" stroke-linecap="round"/></svg>
<p aria-live="polite" class="said" style="margin:0.3em 0"></p></figure>
<script>(function(){var D=@DATA@,root=document.getElementById("@ID@"),q=function(s){return root.querySelector(s)};
var one=function(n){return q("input[name="+n+"]")},X=function(r){return 510+(r+1)*200/2.2},Y=function(i){return 120-i*200/2.2};
function draw(){var i=+one("g").value,j=+one("target").value,f=D.frames[i][j];
q("output[name=g]").textContent=D.g[i];q("output[name=target]").textContent=D.targets[j];
one("g").setAttribute("aria-valuetext","g = "+D.g[i]);one("target").setAttribute("aria-valuetext","target "+D.targets[j]);
q(".loss").setAttribute("d",f.loss.map(function(v,k){return(k?"L":"M")+(40+190*k/(f.loss.length-1)).toFixed(1)+" "+(220-200*Math.min(v,1.25)/1.25).toFixed(1)}).join(""));
var s="";f.values.forEach(function(v,k){var y=20-25*Math.log10(v);if(y<220)s+='<rect x="'+(300+25*k)+'" width="14" y="'+y.toFixed(1)+'" height="'+(220-y).toFixed(1)+'"/>'});
q(".values").innerHTML=s;q(".disk").setAttribute("r",D.g[i]*200/2.2);
q(".cloud").setAttribute("d",f.cloud.map(function(c){return"M"+X(c[0]).toFixed(1)+" "+Y(c[1]).toFixed(1)+"h0"}).join(""));
q(".said").textContent="At g = "+D.g[i]+" and target "+D.targets[j]+": learned to 5 % at epoch "+f.epoch+", norm of dW "+f.norm.toFixed(2)+", second over first singular value "+(f.values[1]/f.values[0]).toFixed(3)+", eigenvalue of W with largest real part "+f.top.toFixed(3)+"."}
one("g").addEventListener("input",draw);one("target").addEventListener("input",draw);draw()})();</script>"""


def explorer(g: list[float], targets: list[float], frames: list[list[dict]], alt: str) -> str:
    """HTML of a figure with two sliders, over g and the target: loss, singular values of dW, eigenvalues of W.

    frames[i][j] (for g[i], targets[j]): `loss` at evenly spaced epochs relative to that of a zero output; `values`, singular values, largest
    first; `cloud`, eigenvalues as (real, imaginary); `epoch`, `norm`, `top`, said in words under the figure.
    Lines and text take the page's colour, so that it reads on light and on dark.  Raises ValueError if frames do not fit.
    """
    if len(frames) != len(g) or any(len(row) != len(targets) for row in frames):
        raise ValueError(f"{len(g)} values of g and {len(targets)} targets need as many rows and columns of frames")
    scale, zero = 200 / 2.2, 510 + 200 / 2.2
    across = [(40 + 190 * e / 200, 236, e) for e in (0, 100, 200)] + [(307 + 25 * k, 236, k + 1) for k in range(6)]
    across += [(zero + scale * x, 236, x) for x in (-1, 0, 1)]
    up = [(36, 224 - 200 * y / 1.25, y) for y in (0, 0.5, 1)] + [(286, 24 + 25 * k, f"1e-{k}") for k in (0, 2, 4, 6)]
    text = "".join('<text x="{:.0f}" y="{:.0f}">{}</text>'.format(*at) for at in across)
    side = "".join('<text x="{:.0f}" y="{:.0f}">{}</text>'.format(*at) for at in up)
    fill = {
        "ID": f"interplay-explorer-{next(_number)}",
        "LASTG": len(g) - 1,
        "LASTT": len(targets) - 1,
        "MIDT": len(targets) // 2,
        "ALT": alt,
        "ONE": f"{zero + scale:.1f}",
        "ZERO": f"{zero:.1f}",
        "TICKS": text,
        "YTICKS": side,
        "DATA": json.dumps({"g": g, "targets": targets, "frames": frames}, separators=(",", ":")),
    }
    page = TEMPLATE
    for name, value in fill.items():
        page = page.replace(f"@{name}@", str(value))
    return page
