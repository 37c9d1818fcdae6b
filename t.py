import http.server, json, threading, subprocess, os, re, sys, socket
md=open('/work/wt-clients/README.md').read()
def block(lang): return re.findall(r'```'+lang+r'\n(.*?)```',md,re.S)[0]
os.makedirs('d',exist_ok=True)
# drivers: two calls in a row, each printing ok/err
py=block('python').replace('print(relay.call(callback_ips))','''
for _ in range(2):
    try: print("ok", json.dumps(relay.call(callback_ips)))
    except Exception as e: print("err", repr(e)[:80])
''')
js=block('js').replace('console.log(await relay.call(callbackIps));','''
for (let i = 0; i < 2; i++) {
  try { console.log("ok", JSON.stringify(await relay.call(callbackIps))); } catch (e) { console.log("err", String(e).slice(0, 80)); }
}''')
java=block('java').replace('System.out.println(relay.call(token ->','for (int i = 0; i < 2; i++) try { System.out.println("ok " + relay.call(token ->').replace('''.body();
        }));''','''.body();
        })); } catch (Exception e) { System.out.println("err " + e); }''')
go=block('go').replace('	reply, err := relay.Call(','	for i := 0; i < 2; i++ {\n	reply, err := relay.Call(').replace('''		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(reply))''','''		fmt.Println("err", err)
		continue
	}
	fmt.Println("ok", string(reply))
	}''')
for n,t in (('c.py',py),('c.mjs',js),('Client.java',java),('main.go',go),('c.sh',block('bash'))): open('d/'+n,'w').write(t)
class Q:
    def __init__(s, script): s.script=list(script); s.log=[]; s.lock=threading.Lock()
def serve(script):
    st=Q(script)
    class H(http.server.BaseHTTPRequestHandler):
        protocol_version='HTTP/1.1'
        def log_message(s,*a): pass
        def out(s,code,obj,extra={}):
            b=json.dumps(obj,separators=(',',':')).encode(); s.send_response(code)
            s.send_header('content-length',str(len(b)))
            s.end_headers(); s.wfile.write(b)
        def do_GET(s):
            if s.path.startswith('/cgi-bin'):
                t=s.path.split('access_token=')[1]; st.log.append('use '+t)
                return s.out(200,{"ip_list":[t]} if t.startswith('good') else {"errcode":40001,"errmsg":"x"})
            s.relay('GET')
        def do_POST(s):
            b=json.loads(s.rfile.read(int(s.headers['content-length']))); s.relay('POST '+b['access_token'])
        def relay(s,what):
            step=st.script.pop(0) if st.script else 'drop'
            st.log.append(f'{what} {step}')
            if step=='drop':
                s.close_connection=True; s.connection.shutdown(socket.SHUT_RDWR); return
            if step.isdigit(): return s.out(int(step),{"title":"no","status":int(step)})
            s.out(200,{"access_token":step,"expires_in":3600})
    srv=http.server.ThreadingHTTPServer(('127.0.0.1',0),H); srv.daemon_threads=True
    threading.Thread(target=srv.serve_forever,daemon=True).start()
    return srv,st
S={ 'dead: POST 503, GET 503, then drop': ['bad1','503','503','drop'],
    'dead, then new': ['bad1','503','503','good2'],
    '429 stays': ['bad1','429','bad1','429','bad1'],
    '429 then GET new': ['bad1','429','good2'],
    'new': ['bad1','good2'],
    'POST drop, GET good': ['bad1','drop','good2'],
    'network away': ['bad1'],
    'GET 503 at start, then good': ['503','good1'] }
L={'python':['python3','c.py'],'node':['node','c.mjs'],'java':['java','Client.java'],'go':['./gomain'],'curl':['bash','c.sh']}
for lang in sys.argv[1:]:
    for name,script in S.items():
        srv,st=serve(script); u='http://127.0.0.1:%d'%srv.server_port
        r=subprocess.run(L[lang],cwd='d',env={**os.environ,'RELAY_URL':u,'WECHAT_URL':u,'RELAY_KEY':'k'*40,'no_proxy':'*'},capture_output=True,text=True,timeout=60)
        print(f'== {lang} | {name}\n   ', ' ; '.join(st.log)); print('   ->', ' | '.join(r.stdout.split('\n')), r.returncode, r.stderr[:300] if lang!='curl' else ''); srv.shutdown()
