# ruff: noqa: E501 (lines of the page)
"""What a page shows beside plots: a figure with sliders that needs no kernel and no other file."""

import json
from html import escape
from itertools import count

_number = count()

PANEL = """<svg viewBox="@X@ 0 240 262" role="img" aria-label="@NAME@" style="flex:1 1 200px;max-width:330px;height:auto;color:inherit;font:12px sans-serif" fill="currentColor">
<path d="M@LEFT@ 20V220h@WIDE@" fill="none" stroke="currentColor"/><g text-anchor="middle"><text x="@MID@" y="12">@NAME@</text>
<text x="@MID@" y="256">@BELOW@</text>@TICKS@</g><g text-anchor="end">@YTICKS@</g>@INSIDE@</svg>"""

TEMPLATE = """<figure class="interplay-explorer" id="@ID@" aria-label="@ALT@" style="margin:1em 0;color:inherit">
<div style="display:flex;flex-wrap:wrap;gap:0.5em 2em;margin-bottom:0.5em">
<label>initial coupling g = <output name="g"></output><br>
<input type="range" name="g" min="0" max="@LASTG@" step="1" value="@MIDG@" style="width:15em" aria-label="initial coupling g"></label>
<label>target &#7825; = <output name="target"></output><br>
<input type="range" name="target" min="0" max="@LASTT@" step="1" value="@MIDT@" style="width:10em" aria-label="target z-hat"></label>
</div>
<div style="display:flex;flex-wrap:wrap;gap:0.5em">@PANELS@</div>
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


def _panel(x: int, left: int, wide: int, name: str, below: str, across: list, up: list, inside: str) -> str:
    """One panel of the figure: an SVG that shows x ... x + 240 of its own coordinates."""
    fill = {"X": x, "LEFT": left, "WIDE": wide, "MID": left + wide / 2, "NAME": name, "BELOW": below, "INSIDE": inside}
    fill["TICKS"] = "".join(f'<text x="{at:.0f}" y="236">{said}</text>' for at, said in across)
    fill["YTICKS"] = "".join(f'<text x="{left - 4}" y="{at:.0f}">{said}</text>' for at, said in up)
    page = PANEL
    for key, value in fill.items():
        page = page.replace(f"@{key}@", str(value))
    return page


def explorer(g: list[float], targets: list[float], frames: list[list[dict]], alt: str) -> str:
    """HTML of a figure with two sliders, over g and the target: loss, singular values of dW, eigenvalues of W.

    frames[i][j] (for g[i], targets[j]): `loss` at evenly spaced epochs relative to that of a zero output; `values`, singular values, largest
    first; `cloud`, eigenvalues as (real, imaginary); `epoch`, `norm`, `top`, said in words under the figure.
    Lines and text take the page's colour, so that it reads on light and on dark.  Raises ValueError if frames do not fit.
    """
    if len(frames) != len(g) or any(len(row) != len(targets) for row in frames):
        raise ValueError(f"{len(g)} values of g and {len(targets)} targets need as many rows and columns of frames")
    scale, zero = 200 / 2.2, 510 + 200 / 2.2
    line = (
        f'<path d="M510 120h200M{zero + scale:.1f} 20v200" stroke="currentColor" stroke-dasharray="3 4" opacity="0.6"/>'
    )
    disk = f'<circle class="disk" cx="{zero:.1f}" cy="120" r="0" fill="currentColor" opacity="0.12"/>'
    cloud = '<path class="cloud" fill="none" stroke="#009E73" stroke-width="3.4" stroke-linecap="round"/>'
    loss = '<path class="loss" fill="none" stroke="#D55E00" stroke-width="2.5"/>'
    panels = "".join(
        _panel(*of)
        for of in (
            (0, 40, 190, "loss / loss of zero output", "epoch", [(40 + 190 * e / 200, e) for e in (0, 100, 200)],
             [(224 - 200 * y / 1.25, y) for y in (0, 0.5, 1)], loss),
            (240, 290, 170, "singular values of dW", "number", [(307 + 25 * k, k + 1) for k in range(6)],
             [(24 + 25 * k, f"1e-{k}" if k else "1") for k in (0, 2, 4, 6)], '<g class="values" fill="#0072B2"></g>'),
            (480, 510, 200, "eigenvalues of W", "real part (upwards: imaginary)", [(zero + scale * x, x) for x in (-1, 0, 1)],
             [(124 - scale * y, y) for y in (-1, 0, 1)], line + disk + cloud),
        )
    )  # fmt: skip
    fill = {
        "ID": f"interplay-explorer-{next(_number)}",
        "LASTG": len(g) - 1,
        "MIDG": len(g) // 2,
        "LASTT": len(targets) - 1,
        "MIDT": len(targets) // 2,
        "PANELS": panels,
        "ALT": alt,
        "DATA": json.dumps({"g": g, "targets": targets, "frames": frames}, separators=(",", ":")),
    }
    page = TEMPLATE
    for name, value in fill.items():
        page = page.replace(f"@{name}@", str(value))
    return page


PLAYER = """<figure class="interplay-player" id="@ID@" aria-label="@ALT@" style="margin:1em 0;color:inherit">
<div style="display:flex;flex-wrap:wrap;gap:0.5em 1.2em;align-items:center;margin-bottom:0.5em">
<label>network <select name="which">@OPTIONS@</select></label>
<span><button type="button" name="back" aria-label="one step back">back</button>
<button type="button" name="play" aria-label="play">play</button>
<button type="button" name="on" aria-label="one step on">step</button></span>
<label>epoch <output name="epoch"></output><br>
<input type="range" name="at" min="0" step="1" value="0" style="width:15em" aria-label="epoch of training"></label></div>
<div style="display:flex;flex-wrap:wrap;gap:0.5em">@PANELS@</div>
<p aria-live="polite" class="said" style="margin:0.3em 0"></p></figure>
<script>(function(){var D=@DATA@,root=document.getElementById("@ID@"),q=function(s){return root.querySelector(s)},timer=null;
var at=q("input"),which=q("select"),play=q("button[name=play]"),R=@REACH@,S=200/(2*R);
var X=function(r){return 270+(r+R)*S},Y=function(i){return 120-i*S};
var E=function(e,n){return 40+190*Math.log10(1+e)/Math.log10(1+n)},L=function(v){return 220-200*Math.max(0,Math.min(1,1+Math.log10(Math.max(v,1e-4))/4))};
function draw(){var c=D[which.value],k=+at.value,f=c.frames[k],n=c.epochs[c.epochs.length-1];at.max=c.frames.length-1;
q("output").textContent=c.epochs[k];at.setAttribute("aria-valuetext","epoch "+c.epochs[k]);
q(".loss").setAttribute("d",c.loss.map(function(p,j){return(j?"L":"M")+E(p[0],n).toFixed(1)+" "+L(p[1]).toFixed(1)}).join(""));
q(".now").setAttribute("d","M"+E(c.epochs[k],n).toFixed(1)+" 20V220");q(".disk").setAttribute("r",c.g*S);
var s="",out=0,top=-9;f.forEach(function(p){[1,-1].forEach(function(m){if(m<0&&p[1]===0)return;
s+="M"+X(p[0]).toFixed(1)+" "+Y(m*p[1]).toFixed(1)+"h0";if(Math.hypot(p[0],p[1])>c.g+0.1)out++;if(p[0]>top)top=p[0]})});
q(".cloud").setAttribute("d",s);
q(".said").textContent="Epoch "+c.epochs[k]+": "+out+" eigenvalues farther than 0.1 outside the disk of radius g = "+c.g+", largest real part "+top.toFixed(2)+"."}
function stop(){clearInterval(timer);timer=null;play.textContent="play";play.setAttribute("aria-label","play")}
function step(d){at.value=Math.max(0,Math.min(+at.max,+at.value+d));draw()}
play.addEventListener("click",function(){if(timer)return stop();if(+at.value>=+at.max)at.value=0;
play.textContent="pause";play.setAttribute("aria-label","pause");timer=setInterval(function(){step(1);if(+at.value>=+at.max)stop()},350)});
q("button[name=back]").addEventListener("click",function(){stop();step(-1)});q("button[name=on]").addEventListener("click",function(){stop();step(1)});
at.addEventListener("input",function(){stop();draw()});which.addEventListener("change",function(){stop();draw();at.value=Math.min(+at.value,+at.max);draw()});draw()})();</script>"""


def player(courses: dict[str, dict], alt: str, reach: float = 2.0) -> str:
    """HTML of a figure that plays the eigenvalues of W through training, with buttons and a slider to step.

    courses: name -> `g`; `epochs` of the frames; `frames`, each a list of (real, imaginary >= 0), conjugates implied;
    `loss`, a list of (epoch, loss in units of the first)
    reach: half the width of the complex plane shown.  Raises ValueError if frames and epochs do not fit.
    """
    for name, course in courses.items():
        if len(course["frames"]) != len(course["epochs"]):
            raise ValueError(f"{name} has {len(course['frames'])} frames, but {len(course['epochs'])} epochs")
    at = lambda x: 270 + (x + reach) * 100 / reach
    lines = f'<path d="M270 120h200M{at(0):.1f} 20v200" stroke="currentColor" opacity="0.3"/>'
    lines += f'<path d="M{at(1):.1f} 20v200" stroke="currentColor" stroke-dasharray="3 4"/>'
    lines += f'<circle class="disk" cx="{at(0):.1f}" cy="120" r="0" fill="currentColor" opacity="0.12"/>'
    cloud = '<path class="cloud" fill="none" stroke="#0072B2" stroke-width="3.4" stroke-linecap="round"/>'
    loss = '<path class="loss" fill="none" stroke="#D55E00" stroke-width="1.6"/>'
    loss += '<path class="now" stroke="currentColor" stroke-width="1"/>'
    ticks = [-reach, 0, reach]
    panels = _panel(0, 40, 190, "loss / first loss", "epoch (log scale)", [],
                    [(224 - 50 * k, f"1e{k - 4}" if k < 4 else "1") for k in range(5)], loss)  # fmt: skip
    panels += _panel(240, 270, 200, "eigenvalues of W", "real part (upwards: imaginary)",
                     [(at(x), f"{x:g}") for x in ticks], [(124 - x * 100 / reach, f"{x:g}") for x in ticks],
                     lines + cloud)  # fmt: skip
    fill = {
        "ID": f"interplay-player-{next(_number)}",
        "OPTIONS": "".join(f"<option>{escape(name)}</option>" for name in courses),
        "PANELS": panels,
        "ALT": escape(alt),
        "REACH": reach,
        "DATA": json.dumps(courses, separators=(",", ":")),
    }
    page = PLAYER
    for name, value in fill.items():
        page = page.replace(f"@{name}@", str(value))
    return page


PLANE = """<figure class="interplay-plane" id="@ID@" aria-label="@ALT@" style="margin:1em 0;color:inherit">
<label>depth D = <output name="depth"></output><br>
<input type="range" name="depth" min="0" max="@LAST@" step="1" value="0" style="width:15em" aria-label="depth"></label>
<div style="display:flex;flex-wrap:wrap;gap:0.5em">@PANELS@</div>
<p aria-live="polite" class="said" style="margin:0.3em 0"></p></figure>
<script>(function(){var D=@DATA@,root=document.getElementById("@ID@"),q=function(s){return root.querySelector(s)},at=q("input");
function draw(){var k=+at.value,f=D.frames[k],a=["",""];q("output").textContent=D.depths[k];at.setAttribute("aria-valuetext","depth "+D.depths[k]);
f.orbits.forEach(function(o){var e=o[o.length-1];a[e[0]>e[1]?0:1]+=o.map(function(p,j){return(j?"L":"M")+(40+19*p[0]).toFixed(1)+" "+(220-19*p[1]).toFixed(1)}).join("")});
q(".a").setAttribute("d",a[0]);q(".b").setAttribute("d",a[1]);
q(".bars").innerHTML=f.shares.map(function(n,j){return'<rect x="'+(290+19*j)+'" width="16" y="'+(220-200*n).toFixed(1)+'" height="'+(200*n).toFixed(1)+'"/>'}).join("");
q(".said").textContent="Depth "+D.depths[k]+": the pathway that wins ends with "+(100*f.median).toFixed(0)+" % of the mode (median of "+f.number+" starts)."}
at.addEventListener("input",draw);draw()})();</script>"""


def phase_plane(depths: list[int], frames: list[dict], alt: str) -> str:
    """HTML of a figure with a slider over depth: orbits of two pathways in one mode, and the winner's shares.

    frames[i] (for depths[i]): `orbits`, lists of (K_a, K_b) in 0 ... 10; `shares`, fractions of the starts whose winner ends
    in each of ten bins from 0.5 to 1; `median` share; `number` of starts.  Raises ValueError if frames and depths do not fit.
    """
    if len(frames) != len(depths):
        raise ValueError(f"{len(depths)} depths and {len(frames)} frames: they must be equal")
    paths = "".join(
        f'<path class="{name}" fill="none" stroke="{color}" stroke-width="0.9"/>'
        for name, color in (("a", "#0072B2"), ("b", "#D55E00"))
    )
    line = '<path d="M40 30L230 220" stroke="currentColor" stroke-dasharray="3 4"/>'
    fifths = [(40 + 95 * k, 5 * k) for k in range(3)]
    panels = _panel(
        0,
        40,
        200,
        "K of pathway b against a",
        "K of pathway a",
        fifths,
        [(224 - 95 * k, 5 * k) for k in range(3)],
        line + paths,
    )
    panels += _panel(250, 290, 190, "how much the winner takes", "its share of the mode", [(290, 0.5), (480, 1)],
                     [(224 - 100 * k, f"{50 * k} %") for k in range(3)], '<g class="bars" fill="#0072B2"></g>')  # fmt: skip
    data = json.dumps({"depths": depths, "frames": frames}, separators=(",", ":"))
    fill = {"ID": f"interplay-plane-{next(_number)}", "LAST": len(depths) - 1, "PANELS": panels, "ALT": escape(alt)}
    page = PLANE
    for name, value in (fill | {"DATA": data}).items():
        page = page.replace(f"@{name}@", str(value))
    return page
