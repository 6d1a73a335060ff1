"""TLS for MQTT and HTTP: certificates that are renewed while serving, and devices that log in with theirs."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess

import paho.mqtt.client as paho
import pytest

from datanaut import Datanaut, datanaut, free_port, run, wait_for
from journeys import now_ms

pytestmark = pytest.mark.shape("embedded")

REGISTRY = """
[[insurer]]
id = "alpina"
name = "Alpina"
token = "alpinas-token"

[[customer]]
id = "anna"
name = "Anna"

[[policy]]
id = "A-1"
insurer = "alpina"
customer = "anna"
product = "travel"
from = "2010-01-01T00:00:00Z"

[[consent]]
customer = "anna"
insurer = "alpina"
purpose = "travel"
given = "2010-01-01T00:00:00Z"
wording = "test-1"
"""
DEVICE = """
[[device]]
id = "{id}"
kind = "car"
token = "token-of-{id}"
owner = [{{ customer = "anna", from = "2010-01-01T00:00:00Z" }}]
"""


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """Signs certificates, as an operator's would."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    def sign(self, name, *, common_name=None, san=None, days=2):
        """Certificate and key in PEM."""
        key, request = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        certificate, more = self.folder / f"{name}.pem", self.folder / f"{name}.ext"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={common_name}" if common_name else "/O=somebody",
                "-keyout", key, "-out", request)
        more.write_text(f"subjectAltName={san}\n" if san else "basicConstraints=CA:FALSE\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", more, "-out", certificate)
        return certificate, key


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return {name: Authority(folder, name) for name in ("servers", "devices", "strangers")}


class Secure:
    """A server with both ports for TLS."""

    def __init__(self, folder, authorities, config=""):
        self.folder, self.authorities = folder, authorities
        self.mqtts, self.https = free_port(), free_port()
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.renew("first")
        registry = folder / "registry.toml"
        registry.write_text(REGISTRY + "".join(DEVICE.format(id=id) for id in ("car-1", "car-2")))
        self.server = Datanaut(folder, registry=registry, config=f"""
[mqtt]
tls_listen = "127.0.0.1:{self.mqtts}"
[http]
tls_listen = "127.0.0.1:{self.https}"
[tls]
certificate = "{self.certificate}"
key = "{self.key}"
device_ca = "{authorities['devices'].certificate}"
{config}""")

    def renew(self, name):
        certificate, key = self.authorities["servers"].sign(name, common_name=name, san="IP:127.0.0.1,DNS:localhost")
        shutil.copy(key, self.key)
        shutil.copy(certificate, self.certificate)

    def trust(self, **options):
        return ssl.create_default_context(cafile=self.authorities["servers"].certificate, **options)

    def shown(self, port):
        """The common name of the certificate at a port."""
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            with self.trust().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                subject = dict(pair[0] for pair in secure.getpeercert()["subject"])
                return subject["commonName"]

    def publish(self, *flags, topic="telemetry/car/car-1", version="5"):
        """The exit code of mosquitto_pub, which trusts the servers' authority only."""
        payload = f'{{"ts":{now_ms()},"speed_mps":1}}'
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", self.mqtts, "-V", version, "-q", "1", "-t", topic,
                   "-m", payload, "--cafile", self.authorities["servers"].certificate]
        return run(*command, *flags)[0]


@pytest.fixture
def secure(tmp_path, authorities):
    secure = Secure(tmp_path, authorities)
    with secure.server:
        yield secure


@pytest.mark.parametrize("version", ["311", "5"])
def test_devices_log_in_over_tls_with_a_token_or_a_certificate(secure, authorities, version):
    stored = lambda: secure.server.counts()["stored"]
    token = ["-u", "car-1", "-P", "token-of-car-1"]
    assert secure.publish(*token, version=version) == 0
    assert stored() == 1

    certificate, key = authorities["devices"].sign("car-1", common_name="car-1")
    shows = ["--cert", certificate, "--key", key]
    assert secure.publish(*shows, version=version) == 0
    assert secure.publish(*shows, "-u", "car-1", version=version) == 0
    named, key = authorities["devices"].sign("named", san="DNS:car-1")
    assert secure.publish("--cert", named, "--key", key, version=version) == 0
    assert stored() == 4

    # What it says of another is held against itself.
    assert secure.publish(*shows, topic="telemetry/car/car-2", version=version) == 0
    assert stored() == 4 and secure.server.counts()["quarantined"]["not_own_topic"] == 1

    assert secure.publish(version=version) != 0, "nobody comes here without a login"
    assert secure.publish("-u", "car-1", "-P", "wrong", version=version) != 0
    assert secure.publish(*shows, "-u", "car-2", version=version) != 0
    for authority, name in (("strangers", "car-1"), ("devices", "alpina"), ("devices", "nobody"), ("devices", "+")):
        certificate, key = authorities[authority].sign("other", common_name=name)
        assert secure.publish("--cert", certificate, "--key", key, version=version) != 0, (authority, name)
    assert stored() == 4


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
def test_paho_trusts_the_certificate_and_nothing_else(secure, version):
    def connected(context, hears):
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"alpina-{version}", protocol=version)
        client.username_pw_set("alpina", "alpinas-token")
        client.tls_set_context(context)
        client.on_connect = lambda _, __, ___, reason, ____: hears.append(reason.is_failure)
        client.on_subscribe = lambda _, __, ___, codes, ____: hears.append([code.value for code in codes])
        client.connect("127.0.0.1", secure.mqtts)
        return client

    heard = []
    client = connected(secure.trust(), heard)
    client.loop_start()
    wait_for("the CONNACK", lambda: heard)
    client.subscribe("triggers/alpina/#", 1)
    wait_for("the SUBACK", lambda: len(heard) == 2)
    assert heard == [False, [1]]
    client.disconnect()
    client.loop_stop()
    with pytest.raises(ssl.SSLCertVerificationError):
        connected(ssl.create_default_context(), [])


def test_curl_reads_the_api_over_tls_1_2_and_1_3(secure):
    url = f"https://127.0.0.1:{secure.https}/v1/triggers?insurer=alpina&product=travel"
    ask = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", url, "--header"]
    own = "Authorization: Bearer alpinas-token"
    trusts = ["--cacert", secure.authorities["servers"].certificate]
    for version in ("1.2", "1.3"):
        code, out, error = run(*ask, own, *trusts, f"--tlsv{version}", "--tls-max", version)
        assert code == 0 and json.loads(out)["triggers"] == [], error
    assert run(*ask, own)[0] == 60, "it knows nobody who signed this"
    assert run(*ask, "Authorization: Bearer wrong", *trusts)[0] == 22


def test_a_certificate_is_renewed_while_connections_go_on(secure):
    context = secure.trust()
    plain = socket.create_connection(("127.0.0.1", secure.https), 10)
    kept = http.client.HTTPSConnection("127.0.0.1", secure.https, context=context)
    kept.sock = context.wrap_socket(plain, server_hostname="127.0.0.1")
    for port in (secure.mqtts, secure.https):
        assert secure.shown(port) == "first"

    secure.certificate.write_text("not a certificate")
    wait_for("the trouble to be said", lambda: "the certificates before hold on" in secure.server.said())
    assert secure.shown(secure.mqtts) == "first"

    secure.renew("second")
    for port in (secure.mqtts, secure.https):
        wait_for("the new certificate", lambda: secure.shown(port) == "second")
    kept.request("GET", "/healthz")
    assert kept.getresponse().status == 200
    kept.close()
    assert secure.server.process.running()


def test_who_says_nothing_keeps_nobody_waiting(secure):
    silent = [socket.create_connection(("127.0.0.1", port), 10) for port in (secure.mqtts, secure.https) * 20]
    assert secure.shown(secure.mqtts) == "first" and secure.shown(secure.https) == "first"
    assert secure.publish("-u", "car-1", "-P", "token-of-car-1") == 0
    for connection in silent:
        connection.close()


def test_the_page_and_the_api_are_there_over_tls_too(secure):
    connection = http.client.HTTPSConnection("127.0.0.1", secure.https, context=secure.trust())
    connection.request("GET", "/v1/triggers?insurer=alpina&product=travel",
                       headers={"Authorization": "Bearer alpinas-token"})
    answer = connection.getresponse()
    assert answer.status == 200 and b"triggers" in answer.read()
    connection.close()
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(secure.authorities["servers"].certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        with socket.create_connection(("127.0.0.1", secure.https), 10) as plain:
            old.wrap_socket(plain, server_hostname="127.0.0.1")


def check(folder, text):
    file = folder / "datanaut.toml"
    file.write_text(text)
    code, out, error = datanaut("check", file)
    return code, out + error


def test_ports_that_others_reach_need_logins_and_say_what_is_in_the_clear(tmp_path):
    certificate = '[tls]\ncertificate = "a.pem"\nkey = "a.key"\n'
    operator = f'[[http.operator]]\nname = "ann"\nrole = "read"\ntoken_sha256 = "{"0" * 64}"\n'
    for text, said in (
        ('[mqtt]\nlisten = "0.0.0.0:1883"\n', "anyone could publish as any device"),
        ('[http]\nlisten = "0.0.0.0:8080"\n', "anyone could see and change everything"),
        ('[http]\ntls_listen = "0.0.0.0:8443"\n' + certificate, "anyone could see and change everything"),
        ('[http]\ntls_listen = "127.0.0.1:8443"\n', "add a [tls] table"),
        (certificate, "is shown nowhere"),
        ('[mqtt]\ntls_listen = "127.0.0.1:1883"\n' + certificate, "another port's address"),
    ):
        code, answer = check(tmp_path, text)
        assert code == 1 and said in " ".join(answer.split()), (text, answer)
    for text in (
        '[mqtt]\nlisten = "0.0.0.0:1883"\nanonymous = false\n[sim]\nenabled = false\n',
        '[http]\nlisten = "0.0.0.0:8080"\n' + operator,
    ):
        code, answer = check(tmp_path, text)
        assert code == 0 and "in the clear" in answer, (text, answer)
