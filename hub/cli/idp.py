"""`yimen idp ...`: connect identity providers, see them, check that they can be used, stop them."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.actor import SYSTEM
from hub.cli.output import FAILED, Json, run, tell
from hub.errors import HubError, Malformed
from hub.registry import providers
from hub.registry.discovery import Caller, secret_of
from hub.registry.model import Level
from hub.registry.providers import PURPOSE, Method, Provider
from hub.web.deps import Hub
from keys.errors import KeyFault

app = typer.Typer(
    help="身份提供方：市民和工作人员从哪里登录。 Identity providers.", no_args_is_help=True, rich_markup_mode=None
)

Code = Annotated[str, typer.Argument(help="代号。 Its code.")]


@app.command(help="接入一个身份提供方。 Connect an identity provider (OpenID Connect).")
def add(
    code: Code,
    issuer: Annotated[str, typer.Option(help="签发者地址。 Its issuer, as its metadata spells it.")],
    client_id: Annotated[str, typer.Option(help="它给本平台的编号。 What it calls this hub.")],
    name_zh: Annotated[str, typer.Option(help="登录页上的中文名。 Chinese name on the sign-in page.")],
    name_en: Annotated[str, typer.Option(help="登录页上的英文名。 English name.")],
    department: Annotated[
        str | None, typer.Option(help="只给该部门工作人员；不写则给市民。 Officers of it; else citizens.")
    ] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="含 client_secret 的文件。 File with the secret; else private_key_jwt.")
    ] = None,
    secret_post: Annotated[bool, typer.Option(help="密钥放在表单里。 client_secret_post instead of basic.")] = False,
    aud_url: Annotated[bool, typer.Option(help="断言的受众写令牌端点。 Assertions for the token URL.")] = False,
    claim: Annotated[
        list[str] | None, typer.Option(help="id_no=…、id_type=…、name=… 或 login=…。 Which claim says what.")
    ] = None,
    acr: Annotated[
        list[str] | None, typer.Option(help="ACR=low|substantial|high，可多次。 Which acr is which level.")
    ] = None,
    level: Annotated[str, typer.Option(help="最高实名等级。 The most it may assure.")] = Level.SUBSTANTIAL,
    scope: Annotated[str, typer.Option(help="请求的 scope。 Scopes to ask for.")] = providers.SCOPE,
    json_out: Json = False,
) -> None:
    """Prints what the provider must be told: redirect URI, keys, logout addresses."""
    method = Method.FOR_ENDPOINT if aud_url else Method.PRIVATE_KEY_JWT
    if secret_file is not None:
        method = Method.SECRET_POST if secret_post else Method.SECRET_BASIC
    made = Provider(
        code=code, issuer=issuer, client_id=client_id, name_zh=name_zh, name_en=name_en, department=department,
        method=method, secret_file=str(secret_file.absolute()) if secret_file else None, scope=scope,
        claims=_pairs(claim or []), levels=_pairs(acr or []), level=level,
    )  # fmt: skip

    async def work(hub: Hub) -> dict[str, str]:
        if made.by_key:
            try:
                hub.signer(PURPOSE)
            except KeyFault as fault:
                if fault.code != "keyring.no_active":
                    raise
                hub.keyring.create(PURPOSE, not_before=hub.clock())
        async with hub.tx(SYSTEM) as tx:
            await providers.add(tx, made, plain_http=not hub.production)
        return addresses(hub, code)

    told = run(work)
    lines = [f"已接入 {code}。请在该身份提供方登记： Connected; register there:"]
    lines += [f"  {name}: {value}" for name, value in told.items()]
    lines.append(f"然后运行 then: yimen idp check {code}")
    tell({"code": code, **told}, lines, as_json=json_out)


@app.command(name="list", help="列出身份提供方。 List them.")
def list_all(json_out: Json = False) -> None:
    """Code, for whom, issuer, level, state."""

    async def work(hub: Hub) -> list[Provider]:
        async with hub.view(SYSTEM) as view:
            return await providers.all_providers(view)

    found = run(work)
    told = [
        {
            "code": one.code, "issuer": one.issuer, "department": one.department, "method": one.method,
            "claims": dict(one.claims), "levels": dict(one.levels), "level": one.level, "active": one.active,
        }
        for one in found
    ]  # fmt: skip
    lines = [
        f"{one.code}  {one.department or '市民 citizens'}  {one.issuer}  {one.level}"
        + ("" if one.active else "  (停用 disabled)")
        for one in found
    ]
    tell({"providers": told}, lines, as_json=json_out)


@app.command(help="检查能否用它登录。 Look whether one could sign in through it.")
def check(code: Code, json_out: Json = False) -> None:
    """Reads its metadata and keys now. Exit code 1 when something is wrong."""

    async def work(hub: Hub) -> list[tuple[str, bool, str, str]]:
        async with hub.view(SYSTEM) as view:
            provider = await providers.by_code(view, code)
        return await look_at(hub, provider)

    found = run(work)
    told = {"ok": all(good for _, good, _, _ in found), "lines": [dict(zip(_LINE, one, strict=True)) for one in found]}
    tell(told, [f"{'✓' if good else '✗'} {zh} {en}" for _, good, zh, en in found], as_json=json_out)
    if not told["ok"]:
        raise typer.Exit(FAILED)


@app.command(help="停用：立即不能登录，登录会话结束。 Stop it at once; its sessions end.")
def disable(code: Code, json_out: Json = False) -> None:
    """Its department's officers can get one-time links again."""
    _change(code, on=False, json_out=json_out)


@app.command(help="恢复停用的身份提供方。 Take a disabled one back.")
def enable(code: Code, json_out: Json = False) -> None:
    """Sessions by one-time links of its department's officers end."""
    _change(code, on=True, json_out=json_out)


def _change(code: str, *, on: bool, json_out: bool) -> None:
    async def work(hub: Hub) -> None:
        async with hub.tx(SYSTEM) as tx:
            await (providers.enable if on else providers.disable)(tx, code=code)

    run(work)
    tell({"code": code, "active": on}, ["已恢复。 Enabled." if on else "已停用。 Disabled."], as_json=json_out)


_LINE = ("name", "ok", "zh", "en")


def addresses(hub: Hub, code: str) -> dict[str, str]:
    """What a provider must be told of this hub."""
    base = hub.settings.public_url
    return {
        "redirect_uri": f"{base}/login/{code}/back",
        "jwks_uri": f"{base}/login/keys.json",
        "backchannel_logout_uri": f"{base}/login/{code}/logout",
        "post_logout_redirect_uri": f"{base}/",
    }


async def look_at(hub: Hub, provider: Provider) -> list[tuple[str, bool, str, str]]:
    """(name, good, Chinese, English) of everything that a sign-in through this provider needs."""
    lines: list[tuple[str, bool, str, str]] = []
    if not provider.by_key:
        try:
            secret_of(provider)
            lines.append(("secret", True, "密钥文件可读", "client secret can be read"))
        except HubError as error:
            lines.append(("secret", False, error.zh, error.en))
    caller = Caller(hub.db.memory, signer=lambda: hub.signer(PURPOSE), plain_http=not hub.production)
    try:
        found = await caller.metadata(provider.issuer, afresh=True)
        lines.append(("metadata", True, "元数据可读，签发者一致", "metadata read, issuer as configured"))
        lines.append(("pkce", found.says_s256, "支持 PKCE S256", "takes PKCE S256"))
        method = provider.method.removesuffix("+url") in found.methods
        lines.append(("method", method, f"接受 {provider.method}", "takes our client authentication"))
        keys = await caller.keys(found, kid=None)
        lines.append(("keys", True, f"{len(keys.keys)} 把签名公钥", "signing keys"))
        iss = "回答中带 iss（RFC 9207）" if found.says_issuer else "回答中不带 iss；靠逐家回跳地址防混淆"
        lines.append(("iss", True, iss, "RFC 9207" if found.says_issuer else "no RFC 9207: told apart by redirect URI"))
    except HubError as error:
        lines.append(("metadata", False, error.zh, error.en))
    finally:
        await caller.close()
    return lines


def _pairs(said: list[str]) -> dict[str, Any]:
    """NAME=VALUE options; the value is what stands after the last `=`, because an acr may hold one."""
    found = {}
    for one in said:
        match = re.fullmatch(r"(.+)=([^=]+)", one)
        if match is None:
            raise Malformed("provider.invalid", f"应为 名称=值：{one}", f"NAME=VALUE is expected: {one}")
        found[match[1]] = match[2]
    return found
